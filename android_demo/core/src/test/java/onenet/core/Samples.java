package onenet.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Small manifests and pictures for the tests. */
final class Samples {
    private Samples() {}

    /** A manifest of a tiny model of two classes, 4 x 4 pixels, channels first. */
    static final String MANIFEST = "{\"schema\": 1, \"name\": \"tiny\", \"task\": \"segmentation\", \"target\": \"onnx\","
            + " \"precision\": \"fp32\", \"preprocessing\": \"rgb01/resize-bilinear/1\","
            + " \"artifact\": {\"file\": \"tiny.onnx\", \"bytes\": 3,"
            + " \"sha256\": \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"},"
            + " \"inputs\": [{\"name\": \"image\", \"role\": \"image\", \"shape\": [1, 3, 4, 4], \"layout\": \"NCHW\","
            + " \"dtype\": \"float32\", \"value_range\": [0.0, 1.0], \"scale\": null, \"zero_point\": null}],"
            + " \"outputs\": [{\"name\": \"logits\", \"role\": \"logits\", \"shape\": [1, 2, 4, 4], \"layout\": \"NCHW\","
            + " \"dtype\": \"float32\", \"value_range\": null, \"scale\": null, \"zero_point\": null}],"
            + " \"classes\": [{\"name\": \"background\", \"colour\": \"#000000\"}, {\"name\": \"nucleus\","
            + " \"colour\": \"#e69f00\"}], \"tiling\": {\"patch\": 2, \"halo\": [0, 0]}}";

    /** {@link #MANIFEST} with a part of its text replaced; the part must be there. */
    static String manifestWith(String part, String other) {
        if (!MANIFEST.contains(part)) {
            throw new IllegalArgumentException(part);
        }
        return MANIFEST.replace(part, other);
    }

    static TensorSpec tensor(String role, String shape, String layout, String type, String scale, String zeroPoint)
            throws Problem {
        String json = "{\"name\": \"t\", \"role\": \"" + role + "\", \"shape\": " + shape + ", \"layout\": \"" + layout
                + "\", \"dtype\": \"" + type + "\", \"scale\": " + scale + ", \"zero_point\": " + zeroPoint + "}";
        return new TensorSpec(new Entry(Json.read(json), "the tensor"));
    }

    /** Every value another one. */
    static Picture picture(int width, int height) throws Problem {
        byte[] rgb = new byte[3 * width * height];
        for (int i = 0; i < rgb.length; i++) {
            rgb[i] = (byte) (i * 37 % 251);
        }
        return new Picture(width, height, rgb);
    }

    static ByteBuffer floats(float... values) {
        ByteBuffer buffer = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float each : values) {
            buffer.putFloat(each);
        }
        return buffer;
    }

    static byte[] bytes(int... values) {
        byte[] found = new byte[values.length];
        for (int i = 0; i < found.length; i++) {
            found[i] = (byte) values[i];
        }
        return found;
    }

    /** What the code throws; fails where it throws nothing. */
    static String problemOf(Code code) {
        try {
            code.run();
        } catch (Problem problem) {
            return problem.getMessage();
        }
        throw new AssertionError("no Problem was thrown");
    }

    interface Code {
        void run() throws Problem;
    }

    /** A network that can be written down: class 1 where red is above one half. It runs anywhere. */
    static final class RedRunner implements Runner {
        int runs;

        @Override
        public String name() {
            return "red";
        }

        @Override
        public String version() {
            return "1";
        }

        @Override
        public ByteBuffer run(ByteBuffer input) {
            runs++;
            ByteBuffer output = ByteBuffer.allocate(2 * 16 * 4).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < 16; i++) {
                output.putFloat(4 * i, 0.5f);
                output.putFloat(4 * (16 + i), input.getFloat(4 * i));
            }
            return output;
        }

        @Override
        public void close() {}
    }
}
