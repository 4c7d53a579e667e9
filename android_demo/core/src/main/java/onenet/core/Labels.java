package onenet.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A model's output to one class index for each pixel: the largest value's class, of equal ones the first. */
public final class Labels {
    private final TensorSpec spec;

    public Labels(TensorSpec spec) {
        this.spec = spec;
    }

    /**
     * Labels (height, width), one unsigned byte each.
     *
     * @param output in the output's own type and layout, little-endian. Its position does not matter.
     */
    public byte[] of(ByteBuffer output) throws Problem {
        if (output.capacity() < spec.bytes()) {
            throw new Problem("the model gave " + output.capacity() + " bytes, its manifest says " + spec.bytes());
        }
        ByteBuffer values = output.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        values.clear();
        if (spec.role.equals("labels")) {
            return asTheyAre(values);
        }
        return spec.type.equals("float32") ? largestFloat(values) : largestWhole(values);
    }

    private byte[] asTheyAre(ByteBuffer values) {
        byte[] labels = new byte[spec.count()];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) whole(values, i);
        }
        return labels;
    }

    private byte[] largestFloat(ByteBuffer values) {
        float[] all = new float[spec.count()];
        values.asFloatBuffer().get(all);
        int classes = spec.size('C');
        byte[] labels = new byte[all.length / classes];
        int step = spec.channelsLast() ? 1 : labels.length;
        for (int i = 0; i < labels.length; i++) {
            int start = spec.channelsLast() ? i * classes : i;
            int best = 0;
            for (int k = 1; k < classes; k++) {
                if (all[start + k * step] > all[start + best * step]) {
                    best = k;
                }
            }
            labels[i] = (byte) best;
        }
        return labels;
    }

    /** Stored integers are in the order of their values, so the scale is not needed. */
    private byte[] largestWhole(ByteBuffer values) {
        int classes = spec.size('C');
        byte[] labels = new byte[spec.count() / classes];
        int step = spec.channelsLast() ? 1 : labels.length;
        for (int i = 0; i < labels.length; i++) {
            int start = spec.channelsLast() ? i * classes : i;
            int best = 0;
            for (int k = 1; k < classes; k++) {
                if (whole(values, start + k * step) > whole(values, start + best * step)) {
                    best = k;
                }
            }
            labels[i] = (byte) best;
        }
        return labels;
    }

    private long whole(ByteBuffer values, int index) {
        if (spec.type.equals("int64")) {
            return values.getLong(8 * index);
        }
        if (spec.type.equals("int32")) {
            return values.getInt(4 * index);
        }
        return spec.type.equals("uint8") ? values.get(index) & 255 : values.get(index);
    }
}
