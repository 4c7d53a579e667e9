package onenet.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Locale;

/**
 * The golden pair of a manifest: one input, and values that the output must come near to.
 *
 * <p>The input is a small picture, each pixel repeated. The output's values are those of every so many pixels, of the program
 * that the file was made from, with the float model's beside them.
 */
public final class Golden {
    private final Manifest manifest;
    private final Entry input;
    private final Entry output;
    private final float[] reference;
    private final float[] floats;
    private final int channels;

    /** Throws Problem where the manifest has none, or one that this code cannot use. */
    public Golden(Manifest manifest) throws Problem {
        if (manifest.golden == null) {
            throw new Problem(manifest.file + " has no golden pair in its manifest; export it again");
        }
        this.manifest = manifest;
        input = manifest.golden.entries("inputs").get(0);
        output = manifest.golden.entries("outputs").get(0);
        channels = output.wholes("shape", 1)[1];
        reference = values(output, output.has("scale"));
        floats = floatsOf(output, reference);
        if (floats.length != reference.length || reference.length % channels != 0) {
            throw output.wrong("shape", "not that of its data");
        }
    }

    /** The golden input as the model takes it. */
    public ByteBuffer feed() throws Problem {
        int[] shape = input.wholes("shape", 1);
        byte[] small = Base64.decode(input.text("data"));
        if (!input.text("dtype").equals("uint8") || input.has("low") || shape.length != 4) {
            throw input.wrong("dtype", "no picture in [0, 1], which is what this app feeds");
        }
        int factor = input.whole("factor", 1);
        int width = manifest.input.size('W');
        int height = manifest.input.size('H');
        byte[] rgb = new byte[3 * width * height];
        for (int i = 0; i < rgb.length; i++) {
            int row = i / 3 / width / factor;
            int column = i / 3 % width / factor;
            int plane = shape[1] == 1 ? 0 : i % 3;
            rgb[i] = small[(plane * shape[2] + row) * shape[3] + column];
        }
        Feed feed = new Feed(manifest.input);
        ByteBuffer buffer = feed.allocate();
        feed.fill(new Picture(width, height, rgb), buffer);
        return buffer;
    }

    /** What was found of an output, held to the limits of the manifest. */
    public Verdict judge(ByteBuffer given) throws Problem {
        float[] found = sampled(given);
        if (found.length != reference.length) {
            throw new Problem("the output has " + found.length + " of the golden values, not " + reference.length);
        }
        Verdict verdict = new Verdict();
        Entry limits = output.has("limits") ? output.entry("limits") : null;
        if (limits == null) {
            verdict.detail = "not compared: the manifest says nothing of what it may differ by; export it again";
            return verdict;
        }
        if (limits.has("relative")) {
            double gap = largestGap(reference, found) / Math.max(largest(reference), 1e-30);
            verdict.add(gap <= limits.number("relative"), "relative difference %.1e (<= %.1e)", gap, limits.number("relative"));
        }
        if (limits.has("sqnr_db")) {
            double db = decibels(power(floats), noise(floats, found));
            verdict.add(db >= limits.number("sqnr_db"), "SQNR %.1f dB (>= %.1f)", db, limits.number("sqnr_db"));
        }
        if (limits.has("reference_db")) {
            double db = likeness(found);
            double least = limits.number("reference_db");
            verdict.add(db >= least, "%.1f dB to the int8 program (>= %.1f)", db, least);
        }
        addLabels(limits, "labels", floats, "labels agree on %.2f %% (>= %.2f %%)", found, verdict);
        addLabels(limits, "reference_labels", reference, "%.2f %% as the int8 program (>= %.2f %%)", found, verdict);
        return verdict;
    }

    private void addLabels(Entry limits, String key, float[] values, String form, float[] found, Verdict verdict)
            throws Problem {
        if (limits.has(key)) {
            double share = sameLabels(values, found);
            verdict.add(share >= limits.number(key), form, 100 * share, 100 * limits.number(key));
        }
    }

    /** Every so many pixels of the output, all channels of each, in floating point. */
    private float[] sampled(ByteBuffer given) throws Problem {
        TensorSpec spec = manifest.output;
        if (given.capacity() < spec.bytes()) {
            throw new Problem("the model gave " + given.capacity() + " bytes, its manifest says " + spec.bytes());
        }
        ByteBuffer bytes = given.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        int pixels = spec.count() / channels;
        int stride = output.whole("stride", 1);
        float[] found = new float[(pixels + stride - 1) / stride * channels];
        int place = 0;
        for (int pixel = 0; pixel < pixels; pixel += stride) {
            for (int channel = 0; channel < channels; channel++) {
                int index = spec.channelsLast() ? pixel * channels + channel : channel * pixels + pixel;
                found[place++] = value(bytes, index, spec.type, spec.scale, spec.zeroPoint);
            }
        }
        return found;
    }

    private static float value(ByteBuffer bytes, int index, String type, float scale, int zeroPoint) {
        if (type.equals("float32")) {
            return bytes.getFloat(4 * index);
        }
        int whole = type.equals("int64") ? (int) bytes.getLong(8 * index)
                : type.equals("int32") ? bytes.getInt(4 * index)
                : type.equals("uint8") ? bytes.get(index) & 255 : bytes.get(index);
        return scale > 0 ? (whole - zeroPoint) * scale : whole;
    }

    private static float[] values(Entry entry, boolean quantized) throws Problem {
        String type = entry.text("dtype");
        int size = type.equals("int64") ? 8 : type.equals("float32") || type.equals("int32") ? 4 : 1;
        ByteBuffer bytes = ByteBuffer.wrap(Base64.decode(entry.text("data"))).order(ByteOrder.LITTLE_ENDIAN);
        float scale = quantized ? (float) entry.number("scale") : 0;
        int zeroPoint = quantized ? entry.whole("zero_point", Integer.MIN_VALUE) : 0;
        float[] found = new float[bytes.capacity() / size];
        for (int i = 0; i < found.length; i++) {
            found[i] = value(bytes, i, type, scale, zeroPoint);
        }
        return found;
    }

    /** The float model's values; the reference's where the entry holds no others. */
    private static float[] floatsOf(Entry output, float[] reference) throws Problem {
        if (!output.has("float")) {
            return reference;
        }
        Entry entry = output.entry("float");
        float[] found = values(entry, false);
        if (entry.has("step") && found.length == reference.length) {
            float step = (float) entry.number("step");
            for (int i = 0; i < found.length; i++) {
                found[i] = reference[i] + found[i] * step;
            }
        }
        return found;
    }

    /** dB to the reference where only what varies over the pixels of each channel is signal. */
    private double likeness(float[] found) throws Problem {
        double signal = 0;
        for (int channel = 0; channel < channels; channel++) {
            double mean = 0;
            int pixels = reference.length / channels;
            for (int i = channel; i < reference.length; i += channels) {
                mean += reference[i] / (double) pixels;
            }
            for (int i = channel; i < reference.length; i += channels) {
                signal += (reference[i] - mean) * (reference[i] - mean) / reference.length;
            }
        }
        double step = output.has("scale") ? output.number("scale") : 0;
        return decibels(Math.max(signal, 4 * step * step), noise(reference, found));
    }

    private double sameLabels(float[] values, float[] found) {
        int same = 0;
        for (int i = 0; i < values.length; i += channels) {
            same += label(values, i) == label(found, i) ? 1 : 0;
        }
        return same * (double) channels / values.length;
    }

    private double label(float[] values, int start) {
        if (channels == 1) {
            return values[start];
        }
        int best = 0;
        for (int k = 1; k < channels; k++) {
            best = values[start + k] > values[start + best] ? k : best;
        }
        return best;
    }

    private static double largest(float[] values) {
        double found = 0;
        for (float each : values) {
            found = Math.max(found, Math.abs(each));
        }
        return found;
    }

    private static double largestGap(float[] one, float[] other) {
        double found = 0;
        for (int i = 0; i < one.length; i++) {
            found = Math.max(found, Math.abs((double) one[i] - other[i]));
        }
        return found;
    }

    private static double power(float[] values) {
        double sum = 0;
        for (float each : values) {
            sum += (double) each * each;
        }
        return sum / values.length;
    }

    private static double noise(float[] one, float[] other) {
        double sum = 0;
        for (int i = 0; i < one.length; i++) {
            sum += ((double) one[i] - other[i]) * ((double) one[i] - other[i]);
        }
        return sum / one.length;
    }

    private static double decibels(double signal, double noise) {
        return noise == 0 ? 80 : Math.max(-80, Math.min(80, 10 * Math.log10(signal / noise)));
    }

    /** Whether an output is right, and the figures with their limits. */
    public static final class Verdict {
        /** null: nothing was compared. */
        public Boolean passed;
        public String detail = "";

        private void add(boolean kept, String form, double figure, double limit) {
            passed = kept && !Boolean.FALSE.equals(passed);
            detail += (detail.isEmpty() ? "" : ", ") + String.format(Locale.ROOT, form, figure, limit);
        }
    }
}
