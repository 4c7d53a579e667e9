package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class OverlayTest {
    private static final int[] RED = {0xFFFF0000, 0xFFFF0000};

    private static Mask mask(int width, int height, int... labels) {
        return new Mask(width, height, Samples.bytes(labels), 0, 0);
    }

    @Test
    public void theBackgroundStaysClearAndClassesGetTheirColour() throws Problem {
        Manifest manifest = Manifest.read(Samples.MANIFEST);
        Picture picture = Picture.ofArgb(2, 1, RED);
        assertArrayEquals(new int[] {0xFFFF0000, 0xFFE69F00}, Overlay.blend(picture, mask(2, 1, 0, 1), manifest.classes, 1));
        assertArrayEquals(RED, Overlay.blend(picture, mask(2, 1, 0, 1), manifest.classes, 0));
        assertEquals(0xFFF35000, Overlay.blend(picture, mask(2, 1, 1, 1), manifest.classes, 0.5)[0]);
    }

    @Test
    public void labelsThatNameNoClassAreNotDrawn() throws Problem {
        Manifest manifest = Manifest.read(Samples.MANIFEST);
        assertArrayEquals(RED, Overlay.blend(Picture.ofArgb(2, 1, RED), mask(2, 1, 2, 255), manifest.classes, 1));
    }

    @Test
    public void aMaskOfAnotherPictureIsRefused() throws Problem {
        Manifest manifest = Manifest.read(Samples.MANIFEST);
        Picture picture = Samples.picture(3, 1);
        assertTrue(Samples.problemOf(() -> Overlay.blend(picture, mask(2, 1, 0, 0), manifest.classes, 1)).contains("2 x 1"));
    }

    @Test
    public void theSummaryNamesWhatIsThere() throws Problem {
        Manifest manifest = Manifest.read(Samples.MANIFEST);
        assertEquals("nucleus 75 %, background 25 %", Overlay.summary(mask(4, 1, 1, 0, 1, 1), manifest.classes));
        assertEquals("background 100 %", Overlay.summary(mask(4, 1, 0, 0, 0, 0), manifest.classes));
        int[] rare = new int[1000];
        rare[7] = 1;
        assertEquals("background 100 %, nucleus below 1 %", Overlay.summary(mask(1000, 1, rare), manifest.classes));
    }

    @Test
    public void textIsReadableOnItsColour() {
        assertEquals(0xFF000000, Overlay.textColour(0xF0E442));
        assertEquals(0xFFFFFFFF, Overlay.textColour(0x0072B2));
    }
}
