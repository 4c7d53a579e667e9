package onenet.runtimes;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeFalse;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import onenet.core.Cases;
import onenet.core.Golden;
import onenet.core.Json;
import onenet.core.Mask;
import onenet.core.Measurement;
import onenet.core.ModelFile;
import onenet.core.Plan;
import onenet.core.Problem;
import onenet.core.Runner;
import onenet.core.Segmenter;
import org.junit.Before;
import org.junit.Test;

/** Real inference of exported models on the JVM: the whole way of the app, against Python's. */
public class InferenceTest {
    private final List<Cases> all = new ArrayList<Cases>();

    @Before
    public void read() throws Exception {
        // In Gradle LiteRT has no library for this machine; tools/jvm.py gives it one.
        boolean tflite = !System.getProperty("onenet.tflite", "").isEmpty();
        for (Cases each : Cases.all()) {
            if (tflite || each.manifest.target.equals("onnx")) {
                all.add(each);
            }
        }
        assumeFalse("no cases of ONNX models: name the folder of onenet export --tests in ONENET_CASES", all.isEmpty());
    }

    @Test
    public void masksArePythons() throws Exception {
        for (Cases cases : all) {
            try (Runner runner = new Runtimes().open(cases.model(), 1)) {
                Segmenter segmenter = new Segmenter(cases.manifest, runner);
                boolean[] seen = new boolean[cases.manifest.classes.size()];
                long same = 0;
                long pixels = 0;
                double worst = 1;
                for (Cases.Case each : cases.cases) {
                    Mask mask = segmenter.segment(each.picture, each.fit);
                    double share = Cases.agreement(each.labels, mask.labels);
                    double least = 1 - 10 * (1 - cases.leastLabels); // of one picture; of all together as many as asked
                    assertTrue(cases.manifest.file + " " + each.name + ": " + share, share >= least);
                    same += Math.round(share * mask.labels.length);
                    pixels += mask.labels.length;
                    worst = Math.min(worst, share);
                    for (byte label : each.labels) {
                        seen[label & 255] = true;
                    }
                }
                for (boolean each : seen) {
                    assertTrue("the pictures of " + cases.manifest.file + " do not show every class", each);
                }
                assertTrue(cases.manifest.file + ": " + same + " of " + pixels, same >= cases.leastLabels * pixels);
                double percent = 100.0 * same / pixels;
                String figures = String.format(Locale.ROOT, "%.4f %% of %d, worst %.4f %%", percent, pixels, 100 * worst);
                System.out.println("\nlabels " + cases.manifest.file + " " + figures);
            }
        }
    }

    @Test
    public void theGoldenPairIsComputedRightly() throws Exception {
        for (Cases cases : all) {
            try (Runner runner = new Runtimes().open(cases.model(), 2)) {
                Golden golden = new Golden(cases.manifest);
                Golden.Verdict verdict = golden.judge(runner.run(golden.feed()));
                assertEquals(verdict.detail, Boolean.TRUE, verdict.passed);
                System.out.println("\ngolden " + cases.manifest.file + " " + verdict.detail);
            }
        }
    }

    @Test
    public void aMeasurementIsADocument() throws Exception {
        Cases cases = all.get(0);
        Plan plan = new Plan("{\"threads\": [1, 2], \"runs\": 3, \"rounds\": 2, \"seconds\": 0, \"warmup_seconds\": 0}", 2);
        Measurement measurement = new Measurement(cases.model(), plan, new Runtimes(), new Jvm());
        Map<String, Object> content = measurement.measure("onenet bench app");
        assertEquals(2, ((List<?>) content.get("rows")).size());
        assertEquals(Boolean.TRUE, ((Map<?, ?>) content.get("parity")).get("passed"));
        String place = System.getProperty("onenet.document", "");
        if (!place.isEmpty()) {
            Files.write(Paths.get(place), Json.write(content).getBytes(StandardCharsets.UTF_8));
        }
    }

    @Test
    public void aDamagedModelIsOneLine() throws Exception {
        ModelFile model = all.get(0).model();
        java.util.Arrays.fill(model.bytes, 100, model.bytes.length, (byte) 7);
        try {
            new Runtimes().open(model, 1);
        } catch (Problem problem) {
            assertTrue(problem.getMessage(), problem.getMessage().startsWith("ONNX Runtime cannot open"));
            return;
        }
        throw new AssertionError("it was opened");
    }

    /** What a JVM says of the machine. */
    private static final class Jvm implements Measurement.Host {
        @Override
        public Map<String, Object> identity() {
            Map<String, Object> found = new LinkedHashMap<String, Object>();
            found.put("name", "local");
            found.put("kind", "local");
            return found;
        }

        @Override
        public Map<String, Object> state() {
            return Collections.emptyMap();
        }

        @Override
        public long peakBytes() {
            return 0;
        }
    }
}
