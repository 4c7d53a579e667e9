package onenet.core;

import java.util.Arrays;
import java.util.List;

/** One input or output of a model, as its file stores it. */
public final class TensorSpec {
    private static final List<String> TYPES = Arrays.asList("float32", "int8", "uint8", "int32", "int64");
    private static final List<String> LAYOUTS = Arrays.asList("NCHW", "NHWC", "NC", "other");

    public final String name;
    /** "image", "logits", "probabilities", "labels", ... */
    public final String role;
    /** Batch first, in the order that {@link #layout} names. */
    public final int[] shape;
    public final String layout;
    /** Of one value: "float32", "int8", ... */
    public final String type;
    /** value = (stored - zeroPoint) * scale; scale is 0 where the values are stored as they are. */
    public final float scale;
    public final int zeroPoint;

    TensorSpec(Entry entry) throws Problem {
        name = entry.text("name");
        role = entry.text("role");
        shape = entry.wholes("shape", 1);
        layout = entry.text("layout");
        type = entry.text("dtype");
        scale = entry.has("scale") ? (float) entry.number("scale") : 0;
        zeroPoint = entry.has("zero_point") ? entry.whole("zero_point", Integer.MIN_VALUE) : 0;
        if (!TYPES.contains(type)) {
            throw entry.wrong("dtype", "not one of " + TYPES);
        }
        if (!LAYOUTS.contains(layout) || (!layout.equals("other") && layout.length() != shape.length)) {
            throw entry.wrong("layout", "not one of " + LAYOUTS + ", or not of this shape");
        }
        if (entry.has("scale") && !(scale > 0)) {
            throw entry.wrong("scale", "not above 0");
        }
    }

    /** Length of an axis of an image: 'N', 'C', 'H' or 'W'. */
    public int size(char axis) {
        return shape[layout.indexOf(axis)];
    }

    public boolean isImage() {
        return shape.length == 4 && !layout.equals("other");
    }

    public boolean channelsLast() {
        return layout.equals("NHWC");
    }

    /** How many values it holds. */
    public int count() {
        int product = 1;
        for (int each : shape) {
            product *= each;
        }
        return product;
    }

    public int bytesPerValue() {
        return type.equals("int64") ? 8 : type.equals("float32") || type.equals("int32") ? 4 : 1;
    }

    public int bytes() {
        return count() * bytesPerValue();
    }

    /** "float32 1x3x256x256". */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(type);
        for (int i = 0; i < shape.length; i++) {
            text.append(i == 0 ? ' ' : 'x').append(shape[i]);
        }
        return text.toString();
    }
}
