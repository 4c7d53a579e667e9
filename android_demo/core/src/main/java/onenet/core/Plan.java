package onenet.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What is measured of one model: the plan of {@code onenet bench}, with its names and defaults. */
public final class Plan {
    private static final int MOST_SAMPLES = 10000;

    public final List<Integer> threads;
    /** At least this many samples in a round. */
    public final int runs;
    /** A round samples at least this long. */
    public final double seconds;
    public final int rounds;
    public final int warmupRuns;
    public final double warmupSeconds;
    public final double sustainedMinutes;
    private final double timeout;

    /**
     * From the text of a request's plan; what is missing keeps its default.
     *
     * @throws Problem a value makes no measurement, or asks for what is not measured in an app.
     */
    public Plan(String json, int cores) throws Problem {
        Entry plan = new Entry(Json.read(json), "the plan");
        threads = new ArrayList<Integer>();
        if (plan.has("threads")) {
            for (int each : plan.wholes("threads", 1)) {
                threads.add(each);
            }
        }
        if (threads.isEmpty()) {
            threads.add(Math.max(1, cores));
        }
        runs = plan.has("runs") ? plan.whole("runs", 1) : 30;
        seconds = number(plan, "seconds", 1);
        rounds = plan.has("rounds") ? plan.whole("rounds", 1) : 3;
        warmupRuns = plan.has("warmup_runs") ? plan.whole("warmup_runs", 0) : 3;
        warmupSeconds = number(plan, "warmup_seconds", 0.5);
        sustainedMinutes = number(plan, "sustained_minutes", 0);
        timeout = number(plan, "timeout", 600);
        if (runs > MOST_SAMPLES) {
            throw plan.wrong("runs", "more than " + MOST_SAMPLES);
        }
        if (plan.has("cores") && plan.wholes("cores", 0).length > 0) {
            throw plan.wrong("cores", "not possible in an app; leave it out");
        }
    }

    private static double number(Entry plan, String key, double otherwise) throws Problem {
        double found = plan.has(key) ? plan.number(key) : otherwise;
        if (!(found >= 0)) {
            throw plan.wrong(key, "below 0");
        }
        return found;
    }

    /** Whether there are samples enough, after so many and so long. */
    boolean enough(int samples, double passed) {
        return samples >= runs && (passed >= seconds || samples >= MOST_SAMPLES);
    }

    boolean warm(int times, double passed) {
        return times >= warmupRuns && (passed >= warmupSeconds || times >= MOST_SAMPLES);
    }

    /** Seconds after which a measurement gives up. */
    public double deadline() {
        return timeout + 60 * sustainedMinutes * threads.size();
    }

    /** As a document holds it. */
    Map<String, Object> asMap() {
        Map<String, Object> map = new LinkedHashMap<String, Object>();
        map.put("threads", threads);
        map.put("runs", runs);
        map.put("seconds", seconds);
        map.put("rounds", rounds);
        map.put("warmup_runs", warmupRuns);
        map.put("warmup_seconds", warmupSeconds);
        map.put("cores", new ArrayList<Integer>());
        map.put("sustained_minutes", sustainedMinutes);
        map.put("profile", false);
        map.put("timeout", timeout);
        return map;
    }
}
