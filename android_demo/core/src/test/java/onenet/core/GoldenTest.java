package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Base64;
import org.junit.Test;

public class GoldenTest {
    private static final byte[] SMALL = Samples.bytes(0, 255, 51, 102, 1, 2, 3, 4, 5, 6, 7, 8);

    private static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    /** A manifest with a golden pair: every fifth pixel of the output is 1 and 2. */
    private static Manifest manifest(String limits) throws Problem {
        String output = "{\"name\": \"logits\", \"stride\": 5, \"shape\": [4, 2], \"dtype\": \"int8\", \"scale\": 0.5,"
                + " \"zero_point\": 1, \"data\": \"" + base64(Samples.bytes(3, 5, 3, 5, 3, 5, 5, 3)) + "\"" + limits + "}";
        String input = "{\"name\": \"image\", \"factor\": 2, \"shape\": [1, 3, 2, 2], \"dtype\": \"uint8\", \"data\": \""
                + base64(SMALL) + "\"}";
        return Manifest.read(Samples.manifestWith(
                "\"tiling\"", "\"golden\": {\"inputs\": [" + input + "], \"outputs\": [" + output + "]}, \"tiling\""));
    }

    private static ByteBuffer output(float first, float second) {
        float[] values = new float[32];
        for (int i = 0; i < 16; i++) {
            values[i] = i == 15 ? second : first;
            values[16 + i] = i == 15 ? first : second;
        }
        return Samples.floats(values);
    }

    @Test
    public void theInputIsTheSmallPictureWithItsPixelsRepeated() throws Problem {
        ByteBuffer found = new Golden(manifest("")).feed();
        float[] firstPlane = {0, 0, 1, 1, 0, 0, 1, 1, 0.2f, 0.2f, 0.4f, 0.4f, 0.2f, 0.2f, 0.4f, 0.4f};
        for (int i = 0; i < 16; i++) {
            assertEquals(firstPlane[i], found.getFloat(4 * i), 0);
        }
        assertEquals(8 / 255f, found.getFloat(4 * 47), 0);
    }

    @Test
    public void aRightOutputPassesAndAWrongOneFails() throws Problem {
        String limits = ", \"limits\": {\"sqnr_db\": 20.0, \"labels\": 0.9, \"reference_db\": 15.0}";
        Golden golden = new Golden(manifest(limits));
        assertEquals(Boolean.TRUE, golden.judge(output(1, 2)).passed);
        Golden.Verdict wrong = golden.judge(output(2, 1));
        assertEquals(Boolean.FALSE, wrong.passed);
        assertTrue(wrong.detail, wrong.detail.contains("labels agree on 0.00 %"));
        assertEquals(Boolean.TRUE, golden.judge(output(1.05f, 2)).passed);
        assertEquals(Boolean.FALSE, golden.judge(output(1.5f, 2)).passed);
    }

    @Test
    public void exactFilesAreHeldToARelativeDifference() throws Problem {
        Golden golden = new Golden(manifest(", \"limits\": {\"relative\": 0.01}"));
        assertEquals(Boolean.TRUE, golden.judge(output(1.01f, 2)).passed);
        assertEquals(Boolean.FALSE, golden.judge(output(1.03f, 2)).passed);
    }

    @Test
    public void withoutLimitsNothingIsCompared() throws Problem {
        assertNull(new Golden(manifest("")).judge(output(1, 2)).passed);
    }

    @Test
    public void withoutAGoldenPairItIsSaid() {
        assertTrue(Samples.problemOf(() -> new Golden(Manifest.read(Samples.MANIFEST))).contains("no golden pair"));
    }

    @Test
    public void base64IsJavas() throws Problem {
        for (int length = 0; length < 40; length++) {
            byte[] bytes = new byte[length];
            for (int i = 0; i < length; i++) {
                bytes[i] = (byte) (i * 97 + length);
            }
            assertArrayEquals(bytes, onenet.core.Base64.decode(base64(bytes)));
        }
        assertTrue(Samples.problemOf(() -> onenet.core.Base64.decode("AA!A")).contains("damaged"));
        assertTrue(Samples.problemOf(() -> onenet.core.Base64.decode("AAA")).contains("damaged"));
    }
}
