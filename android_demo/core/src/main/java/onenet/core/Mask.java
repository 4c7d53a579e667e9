package onenet.core;

/** One class index for each pixel of a picture, and how long it took. */
public final class Mask {
    public final int width;
    public final int height;
    /** Unsigned bytes, row by row. */
    public final byte[] labels;
    /** Milliseconds of cutting, stretching and writing the input. */
    public final double beforeMs;
    /** Milliseconds in the runtime. */
    public final double inferenceMs;
    /** Milliseconds from the output to labels, and stretching them back. */
    public final double afterMs;
    /** Whether the picture was stretched to the model's size. */
    public final boolean resized;
    public final int tiles;

    Mask(int width, int height, byte[] labels, long before, long inference) {
        this(width, height, labels, before / 1e6, inference / 1e6, 0, false, 1);
    }

    private Mask(
            int width, int height, byte[] labels, double before, double inference, double after, boolean resized, int tiles) {
        this.width = width;
        this.height = height;
        this.labels = labels;
        beforeMs = before;
        inferenceMs = inference;
        afterMs = after;
        this.resized = resized;
        this.tiles = tiles;
    }

    Mask stretched(int toWidth, int toHeight) {
        byte[] larger = Resize.nearest(labels, width, height, toWidth, toHeight);
        return new Mask(toWidth, toHeight, larger, beforeMs, inferenceMs, afterMs, true, tiles);
    }

    Mask finished(long nanoseconds, boolean wasResized, int tileCount) {
        double after = Math.max(0, nanoseconds / 1e6 - beforeMs - inferenceMs);
        return new Mask(width, height, labels, beforeMs, inferenceMs, after, wasResized, tileCount);
    }

    /** Share of the pixels of each class. */
    public double[] shares(int classes) {
        double[] counts = new double[classes];
        for (byte each : labels) {
            if ((each & 255) < classes) {
                counts[each & 255]++;
            }
        }
        for (int k = 0; k < classes; k++) {
            counts[k] /= Math.max(1, labels.length);
        }
        return counts;
    }
}
