package onenet.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON to and from Java: objects are maps, arrays are lists, numbers are doubles, the rest is itself.
 *
 * <p>Own code, because the platform's parser exists on Android only and this module is for the JVM as well.
 */
public final class Json {
    /** Deeper nesting than any manifest's would only overflow the stack. */
    private static final int DEEPEST = 64;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** The value of a JSON text. Throws Problem, which says where it is wrong. */
    public static Object read(String text) throws Problem {
        Json reader = new Json(text);
        Object value = reader.value(0);
        reader.skipBlanks();
        if (reader.at < text.length()) {
            throw reader.wrong("something follows its end");
        }
        return value;
    }

    private Object value(int depth) throws Problem {
        skipBlanks();
        if (depth > DEEPEST) {
            throw wrong("it is nested too deeply");
        }
        char first = peek();
        switch (first) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) throws Problem {
        Map<String, Object> found = new LinkedHashMap<String, Object>();
        at++;
        skipBlanks();
        if (peek() == '}') {
            at++;
            return found;
        }
        while (true) {
            skipBlanks();
            String key = string();
            skipBlanks();
            expect(':');
            found.put(key, value(depth + 1));
            if (!another('}')) {
                return found;
            }
        }
    }

    private List<Object> array(int depth) throws Problem {
        List<Object> found = new ArrayList<Object>();
        at++;
        skipBlanks();
        if (peek() == ']') {
            at++;
            return found;
        }
        while (true) {
            found.add(value(depth + 1));
            if (!another(']')) {
                return found;
            }
        }
    }

    /** Whether a comma follows; the closing sign is read as well. */
    private boolean another(char closing) throws Problem {
        skipBlanks();
        char sign = peek();
        if (sign != ',' && sign != closing) {
            throw wrong("',' or '" + closing + "' is missing");
        }
        at++;
        return sign == ',';
    }

    private String string() throws Problem {
        expect('"');
        StringBuilder found = new StringBuilder();
        while (true) {
            char each = peek();
            at++;
            if (each == '"') {
                return found.toString();
            }
            if (each < ' ') {
                throw wrong("a text is not closed");
            }
            found.append(each == '\\' ? escaped() : each);
        }
    }

    private char escaped() throws Problem {
        char sign = peek();
        at++;
        int place = "\"\\/bfnrt".indexOf(sign);
        if (place >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(place);
        }
        if (sign != 'u' || at + 4 > text.length()) {
            throw wrong("an escape is unknown");
        }
        try {
            int code = Integer.parseInt(text.substring(at, at + 4), 16);
            at += 4;
            return (char) code;
        } catch (NumberFormatException error) {
            throw wrong("an escape is unknown");
        }
    }

    private Double number() throws Problem {
        int start = at;
        while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        try {
            return Double.valueOf(text.substring(start, at));
        } catch (NumberFormatException error) {
            at = start;
            throw wrong("a value is missing");
        }
    }

    private Object word(String word, Object value) throws Problem {
        if (!text.startsWith(word, at)) {
            throw wrong("a value is missing");
        }
        at += word.length();
        return value;
    }

    private void expect(char sign) throws Problem {
        if (peek() != sign) {
            throw wrong("'" + sign + "' is missing");
        }
        at++;
    }

    private char peek() throws Problem {
        if (at >= text.length()) {
            throw wrong("it ends too early");
        }
        return text.charAt(at);
    }

    private void skipBlanks() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private Problem wrong(String why) {
        return new Problem("not JSON: " + why + " at character " + at);
    }

    /** A value as JSON text on one line. Numbers that are no numbers become null. */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Map) {
            String separator = "{";
            for (Map.Entry<?, ?> each : ((Map<?, ?>) value).entrySet()) {
                out.append(separator);
                quote(String.valueOf(each.getKey()), out);
                out.append(':');
                write(each.getValue(), out);
                separator = ",";
            }
            out.append(separator.equals("{") ? "{}" : "}");
        } else if (value instanceof Iterable) {
            String separator = "[";
            for (Object each : (Iterable<?>) value) {
                out.append(separator);
                write(each, out);
                separator = ",";
            }
            out.append(separator.equals("[") ? "[]" : "]");
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            boolean real = !Double.isNaN(number) && !Double.isInfinite(number);
            out.append(real ? String.valueOf(value) : "null");
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            out.append(value);
        } else {
            quote(String.valueOf(value), out);
        }
    }

    private static void quote(String value, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < value.length(); i++) {
            char each = value.charAt(i);
            if (each == '"' || each == '\\') {
                out.append('\\').append(each);
            } else if (each < ' ') {
                out.append(String.format("\\u%04x", (int) each));
            } else {
                out.append(each);
            }
        }
        out.append('"');
    }
}
