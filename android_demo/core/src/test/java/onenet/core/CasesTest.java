package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeFalse;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.Before;
import org.junit.Test;

/** This module's preprocessing and labels against Python's, on the cases that {@code onenet export --tests} writes. */
public class CasesTest {
    private List<Cases> all;

    @Before
    public void read() throws Exception {
        all = Cases.all();
        assumeFalse("no cases: name the folder of onenet export --tests in ONENET_CASES", all.isEmpty());
    }

    @Test
    public void inputsArePythons() throws Problem {
        int compared = 0;
        for (Cases cases : all) {
            TensorSpec spec = cases.manifest.input;
            for (Cases.Case each : cases.cases) {
                if (each.input != null) {
                    Feed feed = new Feed(spec);
                    ByteBuffer found = feed.allocate();
                    feed.fill(each.picture, found);
                    ByteBuffer expected = ByteBuffer.wrap(each.input).order(ByteOrder.LITTLE_ENDIAN);
                    assertEquals(each.input.length, found.capacity());
                    double gap = spec.type.equals("float32") ? floatGap(expected, found) : byteGap(expected, found);
                    assertTrue(cases.manifest.file + " " + each.name + ": " + gap, gap <= cases.inputTolerance);
                    compared++;
                }
            }
        }
        assertTrue("no case has an input", compared > 0);
    }

    @Test
    public void labelsOfAnOutputArePythons() throws Problem {
        int compared = 0;
        for (Cases cases : all) {
            Labels labels = new Labels(cases.manifest.output);
            int width = cases.manifest.input.size('W');
            int height = cases.manifest.input.size('H');
            for (Cases.Case each : cases.cases) {
                if (each.output != null) {
                    byte[] found = labels.of(ByteBuffer.wrap(each.output));
                    byte[] whole = Resize.nearest(found, width, height, each.picture.width, each.picture.height);
                    assertArrayEquals(cases.manifest.file + " " + each.name, each.labels, whole);
                    compared++;
                }
            }
        }
        assertTrue("no case has an output", compared > 0);
    }

    private static double floatGap(ByteBuffer one, ByteBuffer other) {
        double gap = 0;
        for (int i = 0; i < one.capacity(); i += 4) {
            gap = Math.max(gap, Math.abs((double) one.getFloat(i) - other.getFloat(i)));
        }
        return gap;
    }

    private static double byteGap(ByteBuffer one, ByteBuffer other) {
        double gap = 0;
        for (int i = 0; i < one.capacity(); i++) {
            gap = Math.max(gap, Math.abs((double) one.get(i) - other.get(i)));
        }
        return gap;
    }
}
