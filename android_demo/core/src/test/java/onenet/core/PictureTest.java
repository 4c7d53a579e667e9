package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class PictureTest {
    @Test
    public void transparencyIsOverBlack() throws Problem {
        int[] argb = {0x80C86432, 0x01FFFFFF, 0x00070809, 0xFF636261};
        Picture found = Picture.ofArgb(4, 1, argb);
        assertArrayEquals(Samples.bytes(100, 50, 25, 1, 1, 1, 0, 0, 0, 99, 98, 97), found.rgb);
    }

    @Test
    public void argbIsTheOtherWayRound() throws Problem {
        Picture picture = Samples.picture(5, 3);
        assertArrayEquals(picture.rgb, Picture.ofArgb(5, 3, picture.argb()).rgb);
    }

    @Test
    public void lumaIsPillows() throws Problem {
        Picture picture = new Picture(4, 1, Samples.bytes(255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 200, 30));
        assertArrayEquals(Samples.bytes(76, 150, 29, 124), picture.luma());
    }

    /** Where the file's rows and columns go is EXIF's definition: 6 means that row 0 is the right side. */
    @Test
    public void everyOrientationComesUpright() throws Problem {
        // a b c
        // d e f
        int[] wide = {1, 2, 3, 4, 5, 6};
        int[][] upright = {
            {1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1}, {4, 5, 6, 1, 2, 3},
            {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3}, {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}
        };
        for (int orientation = 1; orientation <= 8; orientation++) {
            Picture found = grey(3, 2, wide).upright(orientation);
            assertEquals(orientation >= 5 ? 2 : 3, found.width);
            byte[] expected = grey(found.width, found.height, upright[orientation - 1]).rgb;
            assertArrayEquals("orientation " + orientation, expected, found.rgb);
        }
    }

    @Test
    public void unknownOrientationsChangeNothing() throws Problem {
        Picture picture = Samples.picture(3, 2);
        assertSame(picture, picture.upright(0));
        assertSame(picture, picture.upright(9));
    }

    @Test
    public void hugePicturesAreReadSmaller() throws Problem {
        assertEquals(1, Picture.sampleSize(4000, 3000, 12000000));
        assertEquals(2, Picture.sampleSize(4001, 3001, 12000000));
        assertEquals(16384, Picture.sampleSize(Integer.MAX_VALUE, Integer.MAX_VALUE, 24000000000L));
        assertEquals(4, Picture.sampleSize(16000, 12000, Picture.mostPixels(768L << 20)));
        assertTrue(Samples.problemOf(() -> Picture.sampleSize(-1, 3, 10)).contains("no picture"));
    }

    @Test
    public void pixelsMustBelongToTheSize() {
        assertTrue(Samples.problemOf(() -> new Picture(2, 2, new byte[3])).contains("2 x 2"));
        assertTrue(Samples.problemOf(() -> new Picture(0, 2, new byte[0])).contains("0 x 2"));
        assertTrue(Samples.problemOf(() -> new Picture(65536, 65536, new byte[0])).contains("65536"));
    }

    @Test
    public void runningOutOfMemoryIsSaidInWords() {
        assertTrue(Problem.textOf("The picture cannot be read", new OutOfMemoryError()).contains("not enough memory"));
        assertEquals("It failed: IllegalStateException", Problem.textOf("It failed", new IllegalStateException()));
        assertEquals("one line", Problem.textOf("It failed", new Problem("one line")));
        assertEquals("It failed: RuntimeException: a b", Problem.textOf("It failed", new RuntimeException("a\n b")));
    }

    private static Picture grey(int width, int height, int[] values) throws Problem {
        byte[] rgb = new byte[3 * values.length];
        for (int i = 0; i < rgb.length; i++) {
            rgb[i] = (byte) values[i / 3];
        }
        return new Picture(width, height, rgb);
    }
}
