package onenet.core;

import java.nio.ByteBuffer;

/** A camera's frame in YUV 4:2:0 to RGB, with the full range of JPEG that Android's cameras give. */
public final class Yuv {
    private Yuv() {}

    /** One plane of a frame: bytes, how far apart rows are, and how far apart pixels of a row are. */
    public static final class Plane {
        final ByteBuffer bytes;
        final int rowStride;
        final int pixelStride;

        public Plane(ByteBuffer bytes, int rowStride, int pixelStride) {
            this.bytes = bytes;
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
        }

        int at(int x, int y) {
            return bytes.get(y * rowStride + x * pixelStride) & 255;
        }
    }

    /**
     * @param step takes every so many pixels of each row and column: 1 takes all.
     */
    public static Picture picture(int width, int height, Plane luma, Plane blue, Plane red, int step) throws Problem {
        int wide = width / step;
        int high = height / step;
        byte[] rgb = new byte[3 * wide * high];
        int place = 0;
        for (int y = 0; y < high; y++) {
            for (int x = 0; x < wide; x++) {
                int light = luma.at(x * step, y * step) << 16;
                int cb = blue.at(x * step / 2, y * step / 2) - 128;
                int cr = red.at(x * step / 2, y * step / 2) - 128;
                rgb[place++] = clipped(light + 91881 * cr);
                rgb[place++] = clipped(light - 22554 * cb - 46802 * cr);
                rgb[place++] = clipped(light + 116130 * cb);
            }
        }
        return new Picture(wide, high, rgb);
    }

    private static byte clipped(int value) {
        int rounded = (value + 32768) >> 16;
        return (byte) (rounded < 0 ? 0 : rounded > 255 ? 255 : rounded);
    }

    /** The EXIF orientation that turns a frame upright, from the clockwise degrees that it must be turned by. */
    public static int orientation(int degrees) {
        switch ((degrees % 360 + 360) % 360) {
            case 90:
                return 6;
            case 180:
                return 3;
            case 270:
                return 8;
            default:
                return 1;
        }
    }
}
