package onenet.core;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Measures a model as onenet's device agent does, and gives the same document (schema 1). */
public final class Measurement {
    /** What a document says was timed. */
    static final String TIMED =
            "one inference: inputs in the interpreter's own types to outputs in them; pre- and post-processing are not in it";
    private static final int RESAMPLES = 1000;
    private static final int TIMINGS = 5;

    private final ModelFile model;
    private final Plan plan;
    private final Opener opener;
    private final Host host;
    private final long start = System.nanoTime();

    /** Loads the model with so many threads. */
    public interface Opener {
        Runner open(ModelFile model, int threads) throws Problem;
    }

    /** What only the device knows. */
    public interface Host {
        /** The document's {@code device}. */
        Map<String, Object> identity();

        /** The document's {@code states}: one of them, without its {@code seconds}. */
        Map<String, Object> state();

        /** The most memory that this process has held; 0 where that is not known. */
        long peakBytes();
    }

    public Measurement(ModelFile model, Plan plan, Opener opener, Host host) {
        this.model = model;
        this.plan = plan;
        this.opener = opener;
        this.host = host;
    }

    /**
     * The document's content.
     *
     * @param tool who measured: name and version.
     */
    public Map<String, Object> measure(String tool) throws Problem {
        Golden golden = new Golden(model.manifest);
        List<Object> rows = new ArrayList<Object>();
        Map<String, Object> runtime = null;
        Golden.Verdict verdict = null;
        for (int threads : plan.threads) {
            Row row = new Row(threads, golden);
            rows.add(row.measured());
            runtime = runtime == null ? row.runtime : runtime;
            verdict = verdict == null ? row.verdict : verdict;
        }
        Map<String, Object> content = new LinkedHashMap<String, Object>();
        content.put("schema", 1);
        content.put("tool", tool);
        content.put("artifact", artifact());
        content.put("device", host.identity());
        content.put("runtime", runtime);
        content.put("parity", parity(verdict));
        content.put("plan", plan.asMap());
        content.put("timed", TIMED);
        content.put("rows", rows);
        content.put("operators", map("counts", new LinkedHashMap<String, Object>(), "partitions", null, "times", list()));
        Object caution = map("name", "one-process", "detail", "all rounds ran in one process of the app, one after the other");
        content.put("warnings", list(caution));
        return content;
    }

    private Map<String, Object> artifact() {
        Manifest manifest = model.manifest;
        List<Object> shape = new ArrayList<Object>();
        for (int each : manifest.input.shape) {
            shape.add(each);
        }
        Map<String, Object> artifact = map("file", manifest.file, "sha256", manifest.sha256, "bytes", manifest.fileBytes);
        artifact.put("model", manifest.name);
        artifact.put("target", manifest.target);
        artifact.put("precision", manifest.precision);
        artifact.put("input_shape", shape);
        artifact.put("quality", new LinkedHashMap<String, Object>());
        return artifact;
    }

    private static Map<String, Object> parity(Golden.Verdict verdict) {
        Map<String, Object> check = map("name", "values", "passed", verdict.passed, "detail", verdict.detail);
        return map("passed", !Boolean.FALSE.equals(verdict.passed), "where", "device", "checks", list(check));
    }

    private double seconds() {
        return (System.nanoTime() - start) / 1e9;
    }

    private Map<String, Object> state() {
        Map<String, Object> state = new LinkedHashMap<String, Object>();
        state.put("seconds", seconds());
        state.putAll(host.state());
        return state;
    }

    /** Everything of one number of threads. */
    private final class Row {
        private final int threads;
        private final Golden golden;
        private final List<Object> states = new ArrayList<Object>();
        private final List<double[]> samples = new ArrayList<double[]>();
        private final List<Object> rounds = new ArrayList<Object>();
        private final List<Double> loads = new ArrayList<Double>();
        private final List<Double> firsts = new ArrayList<Double>();
        private double prepareMs;
        private double finishMs;
        private Object sustained;
        private Map<String, Object> runtime;
        private Golden.Verdict verdict;

        Row(int threads, Golden golden) {
            this.threads = threads;
            this.golden = golden;
        }

        Map<String, Object> measured() throws Problem {
            long baseline = host.peakBytes();
            states.add(state());
            for (int i = 0; i < plan.rounds; i++) {
                round(i == plan.rounds - 1);
                states.add(state());
            }
            long peak = host.peakBytes();
            Map<String, Object> row = map("threads", threads, "rounds", rounds, "summary", summary(samples));
            row.put("load_ms", median(loads));
            row.put("first_ms", median(firsts));
            row.put("peak_bytes", peak > 0 ? peak : null);
            row.put("states", states);
            row.put("cores", list());
            row.put("prepare_ms", prepareMs);
            row.put("finish_ms", finishMs);
            row.put("baseline_bytes", baseline > 0 ? baseline : null);
            row.put("peak_method", peak > 0 ? "largest resident set of the app's process (VmHWM)" : "");
            row.put("sustained", sustained);
            return row;
        }

        private void round(boolean last) throws Problem {
            ByteBuffer input = golden.feed();
            long begin = System.nanoTime();
            Runner runner = opener.open(model, threads);
            try {
                double load = milliseconds(begin);
                double first = timed(runner, input);
                double[] times = samples(runner, input, warmedUp(runner, input));
                samples.add(times);
                loads.add(load);
                firsts.add(first);
                long peak = host.peakBytes();
                Map<String, Object> round = map("load_ms", load, "first_ms", first, "warmup_runs", warmups);
                round.put("samples_ms", boxed(times));
                round.put("peak_bytes", peak > 0 ? peak : null);
                rounds.add(round);
                if (last) {
                    finish(runner, input);
                }
            } finally {
                runner.close();
            }
        }

        private int warmups;

        private Plan warmedUp(Runner runner, ByteBuffer input) throws Problem {
            long begin = System.nanoTime();
            warmups = 0;
            while (!plan.warm(warmups, milliseconds(begin) / 1e3)) {
                timed(runner, input);
                warmups++;
            }
            return plan;
        }

        private double[] samples(Runner runner, ByteBuffer input, Plan until) throws Problem {
            long begin = System.nanoTime();
            double[] times = new double[64];
            int count = 0;
            while (!until.enough(count, milliseconds(begin) / 1e3)) {
                if (seconds() > until.deadline()) {
                    throw new Problem("the measurement did not finish within " + until.deadline() + " s; ask for fewer runs");
                }
                times = count == times.length ? Arrays.copyOf(times, 2 * count) : times;
                times[count++] = timed(runner, input);
            }
            return Arrays.copyOf(times, count);
        }

        /** What is measured once: the golden pair, what an app does before and after, and the sustained run. */
        private void finish(Runner runner, ByteBuffer input) throws Problem {
            runtime = map("name", runner.name(), "version", runner.version(), "kernels", "CPU");
            verdict = golden.judge(runner.run(input));
            Labels labels = new Labels(model.manifest.output);
            ByteBuffer output = runner.run(input);
            double[] before = new double[TIMINGS];
            double[] after = new double[TIMINGS];
            for (int i = 0; i < TIMINGS; i++) {
                long begin = System.nanoTime();
                golden.feed();
                before[i] = milliseconds(begin);
                begin = System.nanoTime();
                labels.of(output);
                after[i] = milliseconds(begin);
            }
            Arrays.sort(before);
            Arrays.sort(after);
            prepareMs = before[TIMINGS / 2];
            finishMs = after[TIMINGS / 2];
            sustained = plan.sustainedMinutes > 0 ? sustained(runner, input) : null;
        }

        private Map<String, Object> sustained(Runner runner, ByteBuffer input) throws Problem {
            List<Object> minutes = new ArrayList<Object>();
            double firstMedian = 0;
            double lastMedian = 0;
            double end = seconds() + 60 * plan.sustainedMinutes;
            while (seconds() < end) {
                double until = Math.min(seconds() + 60, end);
                List<Double> times = new ArrayList<Double>();
                do {
                    times.add(timed(runner, input));
                } while (seconds() < until);
                double[] sorted = sorted(times);
                lastMedian = Statistics.percentile(sorted, 50);
                firstMedian = minutes.isEmpty() ? lastMedian : firstMedian;
                Map<String, Object> minute = map("minute", minutes.size() + 1, "n", sorted.length, "p50_ms", lastMedian);
                minute.put("p90_ms", Statistics.percentile(sorted, 90));
                minute.put("p99_ms", Statistics.percentile(sorted, 99));
                minutes.add(minute);
                states.add(state());
            }
            return map("minutes", minutes, "drop_percent", firstMedian > 0 ? 100 * (lastMedian / firstMedian - 1) : 0.0);
        }
    }

    private static double timed(Runner runner, ByteBuffer input) throws Problem {
        long begin = System.nanoTime();
        runner.run(input);
        return milliseconds(begin);
    }

    private static double milliseconds(long begin) {
        return (System.nanoTime() - begin) / 1e6;
    }

    /** The figures of all samples of a row. The interval is a bootstrap: rounds are drawn first, then samples of them. */
    static Map<String, Object> summary(List<double[]> rounds) {
        List<Double> all = new ArrayList<Double>();
        double sum = 0;
        for (double[] round : rounds) {
            for (double each : round) {
                all.add(each);
                sum += each;
            }
        }
        double[] sorted = sorted(all);
        double median = Statistics.percentile(sorted, 50);
        double[] medians = new double[RESAMPLES];
        Random random = new Random(0);
        for (int i = 0; i < RESAMPLES; i++) {
            medians[i] = resampled(rounds, random);
        }
        Arrays.sort(medians);
        double spread = Statistics.percentile(sorted, 75) - Statistics.percentile(sorted, 25);
        Map<String, Object> summary = map("n", sorted.length, "mean_ms", sum / sorted.length, "p50_ms", median);
        summary.put("p90_ms", Statistics.percentile(sorted, 90));
        summary.put("p99_ms", Statistics.percentile(sorted, 99));
        summary.put("min_ms", sorted[0]);
        summary.put("max_ms", sorted[sorted.length - 1]);
        summary.put("spread", median > 0 ? spread / median : 0.0);
        summary.put("ci95_ms", list(Statistics.percentile(medians, 2.5), Statistics.percentile(medians, 97.5)));
        return summary;
    }

    private static double resampled(List<double[]> rounds, Random random) {
        List<Double> drawn = new ArrayList<Double>();
        for (int i = 0; i < rounds.size(); i++) {
            double[] round = rounds.get(random.nextInt(rounds.size()));
            int most = Math.min(round.length, 1000);
            for (int k = 0; k < most; k++) {
                drawn.add(round[random.nextInt(most)]);
            }
        }
        return Statistics.percentile(sorted(drawn), 50);
    }

    private static double[] sorted(List<Double> values) {
        double[] found = new double[values.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = values.get(i);
        }
        Arrays.sort(found);
        return found;
    }

    private static double median(List<Double> values) {
        return Statistics.percentile(sorted(values), 50);
    }

    private static List<Object> boxed(double[] values) {
        List<Object> found = new ArrayList<Object>();
        for (double each : values) {
            found.add(each);
        }
        return found;
    }

    private static List<Object> list(Object... values) {
        List<Object> found = new ArrayList<Object>();
        Collections.addAll(found, values);
        return found;
    }

    /** A map of keys and values in turn. */
    private static Map<String, Object> map(Object... pairs) {
        Map<String, Object> found = new LinkedHashMap<String, Object>();
        for (int i = 0; i < pairs.length; i += 2) {
            found.put((String) pairs[i], pairs[i + 1]);
        }
        return found;
    }
}
