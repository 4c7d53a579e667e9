package onenet.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Pixels to the numbers that a model takes: RGB in [0, 1], in the layout and type of its manifest. */
public final class Feed {
    private final TensorSpec spec;
    private final float[] values = new float[256];
    private final byte[] stored = new byte[256];

    public Feed(TensorSpec spec) throws Problem {
        this.spec = spec;
        boolean quantized = spec.scale > 0 && (spec.type.equals("int8") || spec.type.equals("uint8"));
        if (!quantized && !(spec.type.equals("float32") && spec.scale == 0)) {
            throw new Problem("the model's input is " + spec + "; this app feeds float32, or int8 and uint8 with a scale");
        }
        for (int i = 0; i < 256; i++) {
            values[i] = i / 255f;
            stored[i] = quantized ? quantize(values[i]) : 0;
        }
    }

    /** A direct buffer of the input's size in the machine's byte order, to be filled again and again. */
    public ByteBuffer allocate() {
        return ByteBuffer.allocateDirect(spec.bytes()).order(ByteOrder.nativeOrder());
    }

    /** Fill a buffer with a picture, which is stretched where it has another size; the buffer is rewound. */
    public void fill(Picture picture, ByteBuffer to) {
        int height = spec.size('H');
        int width = spec.size('W');
        int channels = spec.size('C');
        byte[] pixels = channels == 1 ? picture.luma() : picture.rgb;
        pixels = Resize.bilinear(pixels, picture.width, picture.height, channels, width, height);
        boolean planes = !spec.channelsLast();
        to.clear();
        for (int i = 0; i < pixels.length; i++) {
            int from = planes ? (i % (height * width)) * channels + i / (height * width) : i;
            int value = pixels[from] & 255;
            if (spec.scale > 0) {
                to.put(stored[value]);
            } else {
                to.putFloat(values[value]);
            }
        }
        to.rewind();
    }

    private byte quantize(float value) {
        int least = spec.type.equals("int8") ? -128 : 0;
        double steps = Math.rint(value / spec.scale) + spec.zeroPoint;
        return (byte) (int) Math.max(least, Math.min(least + 255, steps));
    }
}
