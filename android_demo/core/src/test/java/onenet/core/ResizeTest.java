package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import java.util.Arrays;
import org.junit.Test;

/** The expected values are Pillow 12's for the same pixels. */
public class ResizeTest {
    private static void expect(int width, int height, int... values) throws Problem {
        Picture found = Resize.bilinear(Samples.picture(5, 7), width, height);
        assertEquals(width, found.width);
        assertArrayEquals(Samples.bytes(values), found.rgb);
    }

    @Test
    public void smallerIsAntialiased() throws Problem {
        expect(3, 4,
                76, 108, 145, 128, 89, 123, 166, 142, 99, 128, 109, 146, 122, 114, 122, 141, 119, 100, 119, 156,
                119, 138, 132, 97, 132, 139, 147, 94, 131, 105, 132, 110, 111, 109, 146, 122);
    }

    @Test
    public void onlyOneAxisIsTouched() throws Problem {
        expect(5, 2,
                84, 121, 140, 136, 109, 146, 107, 92, 111, 148, 144, 117, 154, 115, 100, 106, 143, 116, 112, 131,
                116, 153, 114, 87, 124, 120, 139, 124, 161, 122);
    }

    @Test
    public void onePixelIsTheMean() throws Problem {
        expect(1, 1, 126, 123, 119);
    }

    @Test
    public void largerIsInterpolated() throws Problem {
        expect(8, 9,
                0, 37, 74, 49, 86, 123, 118, 139, 176, 187, 52, 89, 178, 43, 80, 91, 112, 149, 144, 181, 77, 193,
                230, 16, 35, 72, 109, 84, 121, 158, 143, 174, 211, 108, 87, 124, 99, 78, 115, 116, 147, 184, 179,
                122, 112, 228, 98, 51, 77, 114, 151, 126, 114, 151, 179, 111, 148, 92, 93, 130, 83, 120, 121, 152,
                189, 121, 158, 117, 105, 158, 56, 93, 118, 155, 192, 142, 94, 131, 168, 22, 59, 115, 91, 128, 124,
                143, 119, 193, 178, 32, 121, 133, 85, 60, 97, 134, 159, 196, 233, 98, 135, 172, 26, 63, 100, 95,
                132, 169, 165, 123, 160, 234, 36, 73, 162, 89, 126, 101, 138, 175, 200, 237, 79, 139, 176, 104, 67,
                104, 129, 136, 173, 76, 145, 164, 67, 92, 77, 102, 118, 130, 167, 142, 179, 216, 102, 139, 64, 102,
                139, 113, 108, 137, 166, 177, 119, 79, 168, 110, 70, 81, 110, 139, 134, 171, 130, 183, 220, 118, 32,
                69, 106, 81, 118, 118, 144, 171, 129, 161, 84, 94, 152, 75, 112, 117, 144, 181, 129, 166, 109, 141,
                178, 48, 67, 104, 141, 116, 153, 80, 169, 206, 8, 82, 119, 77, 73, 110, 147, 142, 179, 216, 70, 107,
                144, 9, 46, 83);
    }

    @Test
    public void theSameSizeIsTheSamePicture() throws Problem {
        assertArrayEquals(Samples.picture(5, 7).rgb, Resize.bilinear(Samples.picture(5, 7), 5, 7).rgb);
    }

    @Test
    public void whiteStaysWhiteAtAnyScale() throws Problem {
        byte[] white = new byte[3 * 97 * 61];
        Arrays.fill(white, (byte) 255);
        for (int side : new int[] {1, 7, 60, 97, 256}) {
            for (byte each : Resize.bilinear(new Picture(97, 61, white), side, side + 1).rgb) {
                assertEquals((byte) 255, each);
            }
        }
    }

    @Test
    public void labelsTakeTheNearest() {
        byte[] labels = Samples.bytes(0, 1, 2, 3, 4, 5);
        assertArrayEquals(Samples.bytes(0, 2, 3, 5), Resize.nearest(labels, 3, 2, 2, 2));
        byte[] row = Samples.bytes(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        assertEquals(8, Resize.nearest(row, 16, 1, 21, 1)[10]); // between 7 and 8
        assertArrayEquals(Samples.bytes(0, 0, 1, 2, 2, 3, 3, 4, 5, 5, 3, 3, 4, 5, 5), Resize.nearest(labels, 3, 2, 5, 3));
    }
}
