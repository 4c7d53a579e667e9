package onenet.core;

import static org.junit.Assert.assertEquals;

import java.util.Arrays;
import org.junit.Test;

public class ExifTest {
    private static byte[] jpeg(boolean little, int orientation) {
        int[] tiff = little
                ? new int[] {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0}
                : new int[] {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0};
        int[] head = {0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 9, 9, 0xFF, 0xE1, 0, 2 + 6 + tiff.length, 'E', 'x', 'i', 'f', 0, 0};
        int[] all = Arrays.copyOf(head, head.length + tiff.length);
        System.arraycopy(tiff, 0, all, head.length, tiff.length);
        return Samples.bytes(all);
    }

    @Test
    public void bothByteOrdersAreRead() {
        for (int orientation = 1; orientation <= 8; orientation++) {
            assertEquals(orientation, Exif.orientation(jpeg(true, orientation)));
            assertEquals(orientation, Exif.orientation(jpeg(false, orientation)));
        }
    }

    @Test
    public void nonsenseIsUpright() {
        assertEquals(1, Exif.orientation(jpeg(true, 9)));
        assertEquals(1, Exif.orientation(jpeg(true, 0)));
        assertEquals(1, Exif.orientation(new byte[0]));
        assertEquals(1, Exif.orientation(Samples.bytes(0x89, 'P', 'N', 'G', 13, 10, 26, 10)));
    }

    @Test
    public void aFileThatIsCutAnywhereIsUprightOrRight() {
        byte[] whole = jpeg(false, 6);
        for (int length = 0; length < whole.length; length++) {
            int found = Exif.orientation(Arrays.copyOf(whole, length));
            assertEquals("cut to " + length, length >= whole.length - 2 ? 6 : 1, found);
        }
    }
}
