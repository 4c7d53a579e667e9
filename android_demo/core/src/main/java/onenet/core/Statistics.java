package onenet.core;

import java.util.Arrays;

/** The latest so many times, and what is said of them. */
public final class Statistics {
    private final double[] window;
    private int count;

    /**
     * @param size how many of the latest times count.
     */
    public Statistics(int size) {
        window = new double[size];
    }

    public void add(double milliseconds) {
        window[count++ % window.length] = milliseconds;
    }

    public void clear() {
        count = 0;
    }

    /** How many times there are to speak of. */
    public int size() {
        return Math.min(count, window.length);
    }

    /** The value that so many percent lie below, linear between neighbours; 0 where there is no value. */
    public double percentile(double percent) {
        double[] sorted = Arrays.copyOf(window, size());
        Arrays.sort(sorted);
        return percentile(sorted, percent);
    }

    /**
     * @param sorted in rising order.
     */
    public static double percentile(double[] sorted, double percent) {
        if (sorted.length == 0) {
            return 0;
        }
        double place = percent / 100 * (sorted.length - 1);
        int below = (int) place;
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }
}
