package onenet.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import org.junit.Test;

public class PlanTest {
    @Test
    public void whatIsMissingIsTheAgentsDefault() throws Problem {
        Plan plan = new Plan("{}", 4);
        assertEquals(Arrays.asList(4), plan.threads);
        assertEquals(30, plan.runs);
        assertEquals(3, plan.rounds);
        assertEquals(600, plan.deadline(), 0);
    }

    @Test
    public void aRoundEndsWhenBothAreReached() throws Problem {
        Plan plan = new Plan("{\"threads\": [1, 2], \"runs\": 5, \"seconds\": 2, \"sustained_minutes\": 1}", 4);
        assertFalse(plan.enough(4, 9));
        assertFalse(plan.enough(9, 1));
        assertTrue(plan.enough(5, 2));
        assertTrue(plan.enough(10000, 0));
        assertEquals(720, plan.deadline(), 0);
    }

    @Test
    public void whatMakesNoMeasurementIsRefused() {
        String[] wrong = {"{\"runs\": 0}", "{\"rounds\": -1}", "{\"threads\": [0]}", "{\"seconds\": -1}", "{\"runs\": 10001}",
            "{\"cores\": [1]}", "[]", "{\"seconds\": \"x\"}"};
        for (final String each : wrong) {
            assertTrue(each, Samples.problemOf(() -> new Plan(each, 4)).startsWith("the plan"));
        }
    }
}
