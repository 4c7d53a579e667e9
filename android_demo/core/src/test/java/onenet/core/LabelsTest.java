package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import org.junit.Test;

public class LabelsTest {
    @Test
    public void theLargestOfEachPixelWins() throws Problem {
        Labels last = new Labels(Samples.tensor("logits", "[1, 1, 3, 2]", "NHWC", "float32", "null", "null"));
        assertArrayEquals(Samples.bytes(1, 0, 0), last.of(Samples.floats(1, 2, 5, -5, 3, 3)));
        Labels first = new Labels(Samples.tensor("logits", "[1, 2, 1, 3]", "NCHW", "float32", "null", "null"));
        assertArrayEquals(Samples.bytes(1, 0, 0), first.of(Samples.floats(1, 5, 3, 2, -5, 3)));
    }

    @Test
    public void storedIntegersAreComparedAsTheyAre() throws Problem {
        Labels signed = new Labels(Samples.tensor("logits", "[1, 1, 2, 2]", "NHWC", "int8", "0.1", "3"));
        assertArrayEquals(Samples.bytes(1, 0), signed.of(ByteBuffer.wrap(Samples.bytes(-128, 127, 5, 5))));
        Labels unsigned = new Labels(Samples.tensor("logits", "[1, 2, 1, 2]", "NCHW", "uint8", "0.1", "3"));
        assertArrayEquals(Samples.bytes(0, 1), unsigned.of(ByteBuffer.wrap(Samples.bytes(200, 5, 100, 250))));
    }

    @Test
    public void labelsAreTakenAsTheyAre() throws Problem {
        Labels labels = new Labels(Samples.tensor("labels", "[1, 1, 3]", "other", "int32", "null", "null"));
        ByteBuffer output = ByteBuffer.wrap(Samples.bytes(2, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0));
        assertArrayEquals(Samples.bytes(2, 0, 255), labels.of(output));
        Labels long64 = new Labels(Samples.tensor("labels", "[1, 1]", "other", "int64", "null", "null"));
        assertArrayEquals(Samples.bytes(7), long64.of(ByteBuffer.wrap(Samples.bytes(7, 0, 0, 0, 0, 0, 0, 0))));
    }

    @Test
    public void anOutputThatIsTooShortIsRefused() throws Problem {
        Labels labels = new Labels(Samples.tensor("logits", "[1, 1, 3, 2]", "NHWC", "float32", "null", "null"));
        assertTrue(Samples.problemOf(() -> labels.of(Samples.floats(1, 2))).contains("8 bytes, its manifest says 24"));
    }
}
