package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import java.nio.ByteBuffer;
import org.junit.Test;

public class YuvTest {
    private static Yuv.Plane plane(int rowStride, int pixelStride, int... values) {
        return new Yuv.Plane(ByteBuffer.wrap(Samples.bytes(values)), rowStride, pixelStride);
    }

    @Test
    public void greyStaysGreyAndColoursAreJpegs() throws Problem {
        Picture grey = Yuv.picture(2, 2, plane(2, 1, 0, 100, 200, 255), plane(1, 1, 128), plane(1, 1, 128), 1);
        assertArrayEquals(Samples.bytes(0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255), grey.rgb);
        Picture red = Yuv.picture(2, 2, plane(2, 1, 76, 76, 76, 76), plane(1, 1, 85), plane(1, 1, 255), 1);
        assertArrayEquals(Samples.bytes(254, 0, 0), new byte[] {red.rgb[0], red.rgb[1], red.rgb[2]});
    }

    @Test
    public void stridesAreTheCameras() throws Problem {
        Yuv.Plane luma = plane(4, 1, 10, 20, 0, 0, 30, 40);
        Yuv.Plane chroma = plane(8, 2, 128, 9, 128, 9);
        assertArrayEquals(
                Samples.bytes(10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40), Yuv.picture(2, 2, luma, chroma, chroma, 1).rgb);
    }

    @Test
    public void everySecondPixelIsEnoughForLargeFrames() throws Problem {
        Yuv.Plane luma = plane(4, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
        Yuv.Plane chroma = plane(2, 1, 128, 128, 128, 128);
        Picture found = Yuv.picture(4, 4, luma, chroma, chroma, 2);
        assertArrayEquals(Samples.bytes(1, 1, 1, 3, 3, 3, 9, 9, 9, 11, 11, 11), found.rgb);
    }

    @Test
    public void degreesBecomeOrientations() {
        assertEquals(1, Yuv.orientation(0));
        assertEquals(6, Yuv.orientation(90));
        assertEquals(3, Yuv.orientation(180));
        assertEquals(8, Yuv.orientation(-90));
        assertEquals(6, Yuv.orientation(450));
    }
}
