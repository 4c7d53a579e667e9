package onenet.core;

import java.util.List;
import java.util.Locale;

/** What is shown of a mask: the picture under the classes' colours, and what a screen reader says. */
public final class Overlay {
    private Overlay() {}

    /**
     * The picture with each pixel's class colour over it, as 0xFFRRGGBB.
     *
     * @param opacity 0 shows the picture alone, 1 the colours alone. The first class, the background, stays clear.
     */
    public static int[] blend(Picture picture, Mask mask, List<ClassSpec> classes, double opacity) throws Problem {
        if (picture.width != mask.width || picture.height != mask.height) {
            throw new Problem("a mask of " + mask.width + " x " + mask.height + " does not belong to a picture of "
                    + picture.width + " x " + picture.height);
        }
        int part = (int) Math.round(256 * Math.max(0, Math.min(1, opacity)));
        int[] pixels = picture.argb();
        for (int i = 0; i < pixels.length; i++) {
            int label = mask.labels[i] & 255;
            if (label > 0 && label < classes.size()) {
                pixels[i] = mixed(pixels[i], classes.get(label).colour, part);
            }
        }
        return pixels;
    }

    private static int mixed(int below, int above, int part) {
        int result = 0xFF;
        for (int shift = 16; shift >= 0; shift -= 8) {
            int from = below >> shift & 255;
            int to = above >> shift & 255;
            result = result << 8 | (from * (256 - part) + to * part + 128) >> 8;
        }
        return result;
    }

    /** "nucleus 23 %, background 77 %": what is there, the largest first; classes without a pixel are left out. */
    public static String summary(Mask mask, List<ClassSpec> classes) {
        double[] shares = mask.shares(classes.size());
        StringBuilder text = new StringBuilder();
        for (int shown = 0; shown < shares.length; shown++) {
            int best = 0;
            for (int k = 1; k < shares.length; k++) {
                best = shares[k] > shares[best] ? k : best;
            }
            if (shares[best] <= 0) {
                break;
            }
            text.append(text.length() == 0 ? "" : ", ");
            text.append(classes.get(best).name).append(' ').append(percent(shares[best]));
            shares[best] = -1;
        }
        return text.toString();
    }

    private static String percent(double share) {
        return share < 0.01 ? "below 1 %" : String.format(Locale.ROOT, "%.0f %%", 100 * share);
    }

    /** Black or white, whichever is easier to read on a colour. */
    public static int textColour(int colour) {
        int red = colour >> 16 & 255;
        int green = colour >> 8 & 255;
        int blue = colour & 255;
        return 299 * red + 587 * green + 114 * blue > 128000 ? 0xFF000000 : 0xFFFFFFFF;
    }
}
