package onenet.core;

/** Upright RGB pixels, three bytes each, row by row. */
public final class Picture {
    public final int width;
    public final int height;
    public final byte[] rgb;

    public Picture(int width, int height, byte[] rgb) throws Problem {
        if (width < 1 || height < 1 || rgb.length != 3L * width * height) {
            throw new Problem(
                    "a picture of " + width + " x " + height + " pixels with " + rgb.length + " bytes cannot be used");
        }
        this.width = width;
        this.height = height;
        this.rgb = rgb;
    }

    /**
     * From 0xAARRGGBB pixels that are not premultiplied, as Android's Bitmap.getPixels gives them.
     *
     * <p>Transparency is composited over black, as onenet's own reader does it.
     */
    public static Picture ofArgb(int width, int height, int[] argb) throws Problem {
        byte[] rgb = new byte[3 * width * height];
        for (int i = 0; i < width * height; i++) {
            int pixel = argb[i];
            int alpha = pixel >>> 24;
            for (int channel = 0; channel < 3; channel++) {
                int value = (pixel >> (16 - 8 * channel)) & 255;
                rgb[3 * i + channel] = (byte) (alpha == 255 ? value : overBlack(value, alpha));
            }
        }
        return new Picture(width, height, rgb);
    }

    private static int overBlack(int value, int alpha) {
        int product = value * alpha + 128; // value * alpha / 255, rounded
        return (product + (product >> 8)) >> 8;
    }

    /** The same picture, turned as an EXIF orientation (1 to 8) asks; other numbers change nothing. */
    public Picture upright(int orientation) throws Problem {
        if (orientation < 2 || orientation > 8) {
            return this;
        }
        boolean swapped = orientation >= 5;
        int wide = swapped ? height : width;
        int high = swapped ? width : height;
        byte[] turned = new byte[rgb.length];
        for (int y = 0; y < high; y++) {
            for (int x = 0; x < wide; x++) {
                int from = 3 * source(orientation, x, y);
                int to = 3 * (y * wide + x);
                turned[to] = rgb[from];
                turned[to + 1] = rgb[from + 1];
                turned[to + 2] = rgb[from + 2];
            }
        }
        return new Picture(wide, high, turned);
    }

    /** Which pixel of this picture comes to (x, y) of the upright one. */
    private int source(int orientation, int x, int y) {
        boolean swapped = orientation >= 5;
        int column = swapped ? y : x;
        int row = swapped ? x : y;
        boolean mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
        boolean flipped = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
        return (flipped ? height - 1 - row : row) * width + (mirrored ? width - 1 - column : column);
    }

    /** The luma of ITU-R 601, one byte for each pixel, in the integers that Pillow computes it in. */
    public byte[] luma() {
        byte[] grey = new byte[width * height];
        for (int i = 0; i < grey.length; i++) {
            int red = rgb[3 * i] & 255;
            int green = rgb[3 * i + 1] & 255;
            int blue = rgb[3 * i + 2] & 255;
            grey[i] = (byte) ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);
        }
        return grey;
    }

    /** As 0xFFRRGGBB pixels. */
    public int[] argb() {
        int[] pixels = new int[width * height];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = 0xFF000000 | (rgb[3 * i] & 255) << 16 | (rgb[3 * i + 1] & 255) << 8 | (rgb[3 * i + 2] & 255);
        }
        return pixels;
    }

    /**
     * How many pixels a picture may have where an app may use so many bytes.
     *
     * <p>Some 24 bytes of each pixel are held at once: decoded, as a picture, its mask, what is drawn. Half of the memory is
     * others'.
     */
    public static long mostPixels(long memory) {
        return Math.max(1, memory / 48);
    }

    /**
     * By what power of two a decoder shall divide both sides so that at most {@code most} pixels are held.
     *
     * @param width of the file's picture; a file of few bytes can claim any size.
     */
    public static int sampleSize(int width, int height, long most) throws Problem {
        if (width < 1 || height < 1) {
            throw new Problem("this file is no picture that can be read; choose a JPEG, PNG or WebP file");
        }
        int divisor = 1;
        while (((long) width / divisor) * (height / divisor) > most) {
            divisor *= 2;
        }
        return divisor;
    }
}
