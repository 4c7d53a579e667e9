package onenet.core;

/**
 * Pillow's bilinear (antialiased) resize, in the same integers, and the nearest one of labels: values are equal to Python's.
 *
 * <p>Bilinear: a triangle as wide as the reduction, first along rows, then along columns, each result rounded to 8 bits.
 * Weights are whole numbers of 1 / 2^22.
 */
public final class Resize {
    private static final int BITS = 22;

    private Resize() {}

    /** A picture stretched to another size. */
    public static Picture bilinear(Picture picture, int width, int height) throws Problem {
        return new Picture(width, height, bilinear(picture.rgb, picture.width, picture.height, 3, width, height));
    }

    /** Bytes (height, width, channels) stretched to (toHeight, toWidth, channels). */
    static byte[] bilinear(byte[] pixels, int width, int height, int channels, int toWidth, int toHeight) {
        byte[] result = pixels;
        if (toWidth != width) {
            result = alongRows(result, height, width, channels, toWidth);
        }
        if (toHeight != height) {
            result = alongColumns(result, height, toWidth * channels, toHeight);
        }
        return result;
    }

    private static byte[] alongRows(byte[] from, int height, int width, int channels, int toWidth) {
        Weights weights = new Weights(width, toWidth);
        byte[] to = new byte[height * toWidth * channels];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < toWidth; x++) {
                int[] parts = weights.parts[x];
                for (int channel = 0; channel < channels; channel++) {
                    int place = (y * width + weights.first[x]) * channels + channel;
                    int sum = 1 << (BITS - 1);
                    for (int each : parts) {
                        sum += (from[place] & 255) * each;
                        place += channels;
                    }
                    to[(y * toWidth + x) * channels + channel] = clipped(sum);
                }
            }
        }
        return to;
    }

    /**
     * @param stride bytes of one row.
     */
    private static byte[] alongColumns(byte[] from, int height, int stride, int toHeight) {
        Weights weights = new Weights(height, toHeight);
        byte[] to = new byte[toHeight * stride];
        for (int y = 0; y < toHeight; y++) {
            int[] parts = weights.parts[y];
            for (int x = 0; x < stride; x++) {
                int place = weights.first[y] * stride + x;
                int sum = 1 << (BITS - 1);
                for (int each : parts) {
                    sum += (from[place] & 255) * each;
                    place += stride;
                }
                to[y * stride + x] = clipped(sum);
            }
        }
        return to;
    }

    private static byte clipped(int sum) {
        int value = sum >> BITS;
        return (byte) (value < 0 ? 0 : value > 255 ? 255 : value);
    }

    /** Labels (height, width) stretched to another size; each takes the nearest one. */
    public static byte[] nearest(byte[] labels, int width, int height, int toWidth, int toHeight) {
        int[] columns = nearestPlaces(width, toWidth);
        int[] rows = nearestPlaces(height, toHeight);
        byte[] result = new byte[toWidth * toHeight];
        for (int y = 0; y < toHeight; y++) {
            for (int x = 0; x < toWidth; x++) {
                result[y * toWidth + x] = labels[rows[y] * width + columns[x]];
            }
        }
        return result;
    }

    private static int[] nearestPlaces(int length, int toLength) {
        int[] places = new int[toLength];
        for (int i = 0; i < toLength; i++) {
            places[i] = (int) ((2L * i + 1) * length / (2L * toLength)); // of two that are as near, the later
        }
        return places;
    }

    /** Which values of an axis each new value is made of, and how much of each. */
    private static final class Weights {
        final int[] first;
        final int[][] parts;

        Weights(int length, int toLength) {
            first = new int[toLength];
            parts = new int[toLength][];
            double scale = (double) length / toLength;
            double reach = Math.max(scale, 1.0);
            for (int i = 0; i < toLength; i++) {
                double centre = (i + 0.5) * scale;
                first[i] = Math.max((int) (centre - reach + 0.5), 0);
                int last = Math.min((int) (centre + reach + 0.5), length);
                parts[i] = triangle(first[i], last, centre, 1.0 / reach);
            }
        }

        private static int[] triangle(int first, int last, double centre, double slope) {
            double[] weights = new double[last - first];
            double sum = 0;
            for (int i = 0; i < weights.length; i++) {
                double distance = Math.abs((i + first - centre + 0.5) * slope);
                weights[i] = distance < 1.0 ? 1.0 - distance : 0.0;
                sum += weights[i];
            }
            int[] whole = new int[weights.length];
            for (int i = 0; i < whole.length; i++) {
                whole[i] = (int) (0.5 + weights[i] / sum * (1 << BITS));
            }
            return whole;
        }
    }
}
