package onenet.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import org.junit.Test;

public class FeedTest {
    private static ByteBuffer fed(TensorSpec spec, Picture picture) throws Problem {
        Feed feed = new Feed(spec);
        ByteBuffer buffer = feed.allocate();
        feed.fill(picture, buffer);
        return buffer;
    }

    @Test
    public void channelsLastIsInThePicturesOrder() throws Problem {
        TensorSpec spec = Samples.tensor("image", "[1, 2, 2, 3]", "NHWC", "float32", "null", "null");
        ByteBuffer found = fed(spec, new Picture(2, 2, Samples.bytes(0, 51, 255, 3, 4, 5, 6, 7, 8, 9, 10, 11)));
        assertEquals(12, found.remaining() / 4);
        assertEquals(0.2f, found.getFloat(4), 0);
        assertEquals(1f, found.getFloat(8), 0);
        assertEquals(11 / 255f, found.getFloat(44), 0);
    }

    @Test
    public void channelsFirstIsPlaneByPlane() throws Problem {
        TensorSpec spec = Samples.tensor("image", "[1, 3, 2, 2]", "NCHW", "float32", "null", "null");
        ByteBuffer found = fed(spec, new Picture(2, 2, Samples.bytes(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)));
        int[] order = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11};
        for (int i = 0; i < 12; i++) {
            assertEquals(order[i] / 255f, found.getFloat(4 * i), 0);
        }
    }

    @Test
    public void int8IsQuantizedByTheManifest() throws Problem {
        TensorSpec spec = Samples.tensor("image", "[1, 1, 2, 3]", "NHWC", "int8", "0.003921568859368563", "-128");
        ByteBuffer found = fed(spec, new Picture(2, 1, Samples.bytes(0, 1, 127, 128, 254, 255)));
        int[] values = {-128, -127, -1, 0, 126, 127};
        for (int i = 0; i < 6; i++) {
            assertEquals(values[i], found.get(i));
        }
    }

    @Test
    public void uint8SaturatesAtItsEnds() throws Problem {
        TensorSpec spec = Samples.tensor("image", "[1, 1, 1, 3]", "NHWC", "uint8", "0.002", "10");
        ByteBuffer found = fed(spec, new Picture(1, 1, Samples.bytes(0, 1, 255)));
        assertEquals(10, found.get(0) & 255);
        assertEquals(12, found.get(1) & 255);
        assertEquals(255, found.get(2) & 255);
    }

    @Test
    public void greyModelsGetTheLuma() throws Problem {
        TensorSpec spec = Samples.tensor("image", "[1, 1, 1, 2]", "NCHW", "float32", "null", "null");
        ByteBuffer found = fed(spec, new Picture(2, 1, Samples.bytes(255, 0, 0, 0, 255, 0)));
        assertEquals(76 / 255f, found.getFloat(0), 0);
        assertEquals(150 / 255f, found.getFloat(4), 0);
    }

    @Test
    public void aPictureOfAnotherSizeIsStretched() throws Problem {
        TensorSpec spec = Samples.tensor("image", "[1, 4, 3, 3]", "NHWC", "float32", "null", "null");
        ByteBuffer found = fed(spec, Samples.picture(5, 7));
        byte[] expected = Resize.bilinear(Samples.picture(5, 7), 3, 4).rgb;
        assertEquals((expected[7] & 255) / 255f, found.getFloat(28), 0);
    }

    @Test
    public void otherTypesAreRefused() throws Problem {
        TensorSpec whole = Samples.tensor("image", "[1, 1, 1, 3]", "NHWC", "int32", "null", "null");
        assertTrue(Samples.problemOf(() -> new Feed(whole)).contains("int32 1x1x1x3"));
    }
}
