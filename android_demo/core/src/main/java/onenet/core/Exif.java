package onenet.core;

/** The orientation that a camera wrote into a JPEG file: the one entry of its EXIF block that pixels depend on. */
public final class Exif {
    private static final int ORIENTATION = 0x0112;
    private static final int UPRIGHT = 1;

    private final byte[] data;
    private final int start;
    private final boolean little;

    private Exif(byte[] data, int start) {
        this.data = data;
        this.start = start;
        little = start + 1 < data.length && data[start] == 'I';
    }

    /** 1 to 8, from the first bytes of a file (64 kB are enough); 1 where it says nothing, or is damaged. */
    public static int orientation(byte[] data) {
        try {
            int at = blockStart(data);
            return at < 0 ? UPRIGHT : new Exif(data, at).read();
        } catch (IndexOutOfBoundsException damaged) {
            return UPRIGHT; // a damaged block says nothing about the pixels
        }
    }

    /** Where the TIFF header of the EXIF block begins; -1 where there is none. */
    private static int blockStart(byte[] data) {
        if (data.length < 4 || (data[0] & 255) != 0xFF || (data[1] & 255) != 0xD8) {
            return -1;
        }
        int at = 2;
        while (at + 4 <= data.length && (data[at] & 255) == 0xFF) {
            int marker = data[at + 1] & 255;
            int length = (data[at + 2] & 255) << 8 | (data[at + 3] & 255);
            if (marker == 0xE1 && at + 10 < data.length && data[at + 4] == 'E' && data[at + 5] == 'x') {
                return at + 10;
            }
            if (marker == 0xDA || length < 2) {
                return -1; // pixels follow
            }
            at += 2 + length;
        }
        return -1;
    }

    private int read() {
        int directory = start + whole(start + 4, 4);
        int entries = whole(directory, 2);
        for (int i = 0; i < entries; i++) {
            int entry = directory + 2 + 12 * i;
            if (whole(entry, 2) == ORIENTATION) {
                int found = whole(entry + 8, 2);
                return found >= 1 && found <= 8 ? found : UPRIGHT;
            }
        }
        return UPRIGHT;
    }

    private int whole(int at, int bytes) {
        int value = 0;
        for (int i = 0; i < bytes; i++) {
            value = value << 8 | (data[at + (little ? bytes - 1 - i : i)] & 255);
        }
        return value;
    }
}
