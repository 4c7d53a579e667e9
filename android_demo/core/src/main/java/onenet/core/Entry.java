package onenet.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** An object of a manifest, read key by key; what is missing or of another kind is a Problem that names it. */
final class Entry {
    private final Map<?, ?> content;
    private final String where;

    /**
     * @param where what messages call it.
     */
    Entry(Object content, String where) throws Problem {
        if (!(content instanceof Map)) {
            throw new Problem(where + " is not a JSON object; export the model again");
        }
        this.content = (Map<?, ?>) content;
        this.where = where;
    }

    boolean has(String key) {
        return content.get(key) != null;
    }

    Entry entry(String key) throws Problem {
        return new Entry(content.get(key), where + ", entry " + key);
    }

    List<Entry> entries(String key) throws Problem {
        List<Entry> found = new ArrayList<Entry>();
        int number = 0;
        for (Object each : list(key)) {
            found.add(new Entry(each, where + ", " + key + " " + number++));
        }
        return found;
    }

    String text(String key) throws Problem {
        Object value = content.get(key);
        if (!(value instanceof String)) {
            throw wrong(key, "no text");
        }
        return (String) value;
    }

    String text(String key, String otherwise) throws Problem {
        return has(key) ? text(key) : otherwise;
    }

    double number(String key) throws Problem {
        Object value = content.get(key);
        if (!(value instanceof Double)) {
            throw wrong(key, "no number");
        }
        return (Double) value;
    }

    /** A whole number of at least {@code least}. */
    int whole(String key, int least) throws Problem {
        return whole(content.get(key), key, least);
    }

    int[] wholes(String key, int least) throws Problem {
        List<?> values = list(key);
        int[] found = new int[values.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = whole(values.get(i), key, least);
        }
        return found;
    }

    /** Whole numbers of at least 0; null in the JSON becomes -1. */
    int[] wholesOrNone(String key) throws Problem {
        List<?> values = list(key);
        int[] found = new int[values.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = values.get(i) == null ? -1 : whole(values.get(i), key, 0);
        }
        return found;
    }

    private int whole(Object value, String key, int least) throws Problem {
        double number = value instanceof Double ? (Double) value : Double.NaN;
        if (number != Math.rint(number) || number < least || number > Integer.MAX_VALUE) {
            throw wrong(key, "no whole number of at least " + least);
        }
        return (int) number;
    }

    private List<?> list(String key) throws Problem {
        Object value = content.get(key);
        if (!(value instanceof List)) {
            throw wrong(key, "no list");
        }
        return (List<?>) value;
    }

    Problem wrong(String key, String why) {
        String found = String.valueOf(content.get(key));
        String shown = found.length() > 60 ? found.substring(0, 60) + "..." : found;
        return new Problem(where + " has the " + key + " " + shown + ", which is " + why + "; export the model again");
    }
}
