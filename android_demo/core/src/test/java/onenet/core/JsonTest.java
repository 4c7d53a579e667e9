package onenet.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;

public class JsonTest {
    @Test
    public void readsEveryKindOfValue() throws Problem {
        Map<?, ?> found = (Map<?, ?>) Json.read(" {\"a\": [1, -2.5e3, true, false, null], \"b\": {}, \"c\": []} ");
        assertEquals(Arrays.asList(1.0, -2500.0, true, false, null), found.get("a"));
        assertEquals(3, found.size());
    }

    @Test
    public void readsEscapes() throws Problem {
        assertEquals("a\"\\/\n\u00e9", Json.read("\"a\\\"\\\\\\/\\n\\u00e9\""));
    }

    @Test
    public void whatItWritesItReads() throws Problem {
        Map<String, Object> content = new LinkedHashMap<String, Object>();
        content.put("text", "quote \" and \u0001 and \u20ac");
        content.put("list", Arrays.<Object>asList(1.5, true, null, Arrays.asList()));
        content.put("empty", new LinkedHashMap<String, Object>());
        assertEquals(content, Json.read(Json.write(content)));
    }

    @Test
    public void numbersThatAreNoneBecomeNull() {
        assertEquals("[null,null,3]", Json.write(Arrays.asList(Double.NaN, Double.POSITIVE_INFINITY, 3)));
    }

    @Test
    public void saysWhereTheTextIsWrong() {
        String[] wrong = {"", "{", "[1,", "{\"a\" 1}", "\"a", "tru", "[1 2]", "{} x", "\"\\q\"", "nope", "\"\\u12g4\""};
        for (final String each : wrong) {
            String problem = Samples.problemOf(() -> Json.read(each));
            assertTrue(each + ": " + problem, problem.startsWith("not JSON: ") && problem.contains("character"));
        }
    }

    @Test
    public void deepNestingIsRefused() {
        char[] open = new char[100000];
        Arrays.fill(open, '[');
        assertTrue(Samples.problemOf(() -> Json.read(new String(open))).contains("nested too deeply"));
    }
}
