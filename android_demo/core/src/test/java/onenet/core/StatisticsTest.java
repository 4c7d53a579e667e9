package onenet.core;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class StatisticsTest {
    @Test
    public void percentilesAreLinearBetweenNeighbours() {
        Statistics times = new Statistics(10);
        for (int each : new int[] {4, 1, 3, 2}) {
            times.add(each);
        }
        assertEquals(2.5, times.percentile(50), 1e-12);
        assertEquals(3.7, times.percentile(90), 1e-12);
        assertEquals(1, times.percentile(0), 0);
        assertEquals(4, times.percentile(100), 0);
    }

    @Test
    public void onlyTheLatestCount() {
        Statistics times = new Statistics(3);
        for (int i = 1; i <= 10; i++) {
            times.add(i);
        }
        assertEquals(3, times.size());
        assertEquals(9, times.percentile(50), 0);
    }

    @Test
    public void withoutTimesThereIsZero() {
        Statistics times = new Statistics(3);
        assertEquals(0, times.percentile(50), 0);
        times.add(5);
        times.clear();
        assertEquals(0, times.size());
        assertEquals(0, times.percentile(90), 0);
    }
}
