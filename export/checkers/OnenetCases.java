// Does an app make of a picture what onenet makes of it? Written by `onenet export --tests`; README.md says how it is used.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Compares an app's preprocessing, inference and postprocessing with a folder of cases. Java 8, no library. */
public final class OnenetCases {
    /** The three steps of your app. A tensor is its bytes, little-endian, in the file's own order of axes and type. */
    public interface App {
        /** The model's input for a picture of RGB bytes, row by row. */
        ByteBuffer preprocess(byte[] pixels, int width, int height) throws Exception;

        /** The model's outputs for an input, in the file's order. */
        List<ByteBuffer> run(ByteBuffer input) throws Exception;

        /** The class of each pixel of the picture, row by row. Not called where the network has no classes for pixels. */
        byte[] labels(List<ByteBuffer> outputs, int width, int height) throws Exception;
    }

    /** Where the cases are: files of a folder, or an app's assets. */
    public interface Files {
        InputStream open(String name) throws IOException;
    }

    private static final class Tensor {
        final String type;
        /** Of an input: what a value may differ by. Of an output: the SQNR in dB that is asked for. */
        final double asked;

        Tensor(String type, double asked) {
            this.type = type;
            this.asked = asked;
        }
    }

    private final App app;
    private final Files files;
    private final List<String> wrong = new ArrayList<String>();
    private final List<Tensor> outputs = new ArrayList<Tensor>();
    private Tensor input;
    private double share;
    private int cases;

    private OnenetCases(App app, Files files) {
        this.app = app;
        this.files = files;
    }

    /** What is wrong, a line each; empty where everything is right. */
    public static List<String> check(App app, Files files) throws Exception {
        OnenetCases all = new OnenetCases(app, files);
        BufferedReader table = new BufferedReader(new InputStreamReader(files.open("cases.txt"), StandardCharsets.UTF_8));
        try {
            for (String line = table.readLine(); line != null; line = table.readLine()) {
                all.take(line.split(" "));
            }
        } finally {
            table.close();
        }
        if (all.cases == 0) {
            all.wrong.add("cases.txt names no case: nothing was compared");
        }
        return all.wrong;
    }

    private void take(String[] words) throws Exception {
        if (words[0].equals("input")) {
            input = new Tensor(words[1], Double.parseDouble(words[2]));
        } else if (words[0].equals("output")) {
            outputs.add(new Tensor(words[1], Double.parseDouble(words[2])));
        } else if (words[0].equals("labels")) {
            share = Double.parseDouble(words[1]);
        } else if (words[0].equals("case")) {
            cases++;
            compare(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
        }
    }

    private void compare(String name, int width, int height) throws Exception {
        ByteBuffer fed = read(name + ".input.bin");
        String difference = farthest(fed, app.preprocess(bytes(name + ".rgb.bin"), width, height), input);
        if (difference != null) {
            wrong.add(name + ": preprocessing: " + difference);
        }
        List<ByteBuffer> right = new ArrayList<ByteBuffer>();
        for (int i = 0; i < outputs.size(); i++) {
            right.add(read(name + ".output" + i + ".bin"));
        }
        List<ByteBuffer> found = app.run(fed);
        if (found == null || found.size() != right.size()) {
            wrong.add(name + ": inference gives " + (found == null ? 0 : found.size()) + " outputs of " + right.size());
        } else {
            for (int i = 0; i < right.size(); i++) {
                String error = unlike(right.get(i), found.get(i), outputs.get(i));
                if (error != null) {
                    wrong.add(name + ": inference, output " + i + ": " + error);
                }
            }
        }
        if (share > 0) {
            String error = mislabelled(bytes(name + ".labels.bin"), app.labels(right, width, height), share);
            if (error != null) {
                wrong.add(name + ": postprocessing: " + error);
            }
        }
    }

    private static String farthest(ByteBuffer right, ByteBuffer found, Tensor tensor) {
        double[] expected = values(right, tensor.type);
        double[] given = values(found, tensor.type);
        if (given.length != expected.length) {
            return given.length + " values, " + expected.length + " asked";
        }
        int at = -1;
        double most = tensor.asked;
        for (int i = 0; i < expected.length; i++) {
            double difference = Math.abs(given[i] - expected[i]);
            if (!(difference <= most)) {
                most = difference;
                at = i;
            }
        }
        String text = "value " + at + " is " + (at < 0 ? "" : given[at] + ", should be " + expected[at]);
        return at < 0 ? null : text + "; " + tensor.asked + " is allowed";
    }

    private static String unlike(ByteBuffer right, ByteBuffer found, Tensor tensor) {
        double[] expected = values(right, tensor.type);
        double[] given = values(found, tensor.type);
        if (given.length != expected.length) {
            return given.length + " values, " + expected.length + " asked";
        }
        double mean = 0;
        for (double value : expected) {
            mean += value / expected.length;
        }
        double signal = 0;
        double noise = 0;
        for (int i = 0; i < expected.length; i++) {
            signal += (expected[i] - mean) * (expected[i] - mean);
            noise += (given[i] - expected[i]) * (given[i] - expected[i]);
        }
        double found10 = 10 * Math.log10(signal / noise);
        return noise == 0 || found10 >= tensor.asked ? null : Math.round(found10) + " dB, " + tensor.asked + " dB asked";
    }

    private static String mislabelled(byte[] right, byte[] found, double share) {
        if (found == null || found.length != right.length) {
            return (found == null ? 0 : found.length) + " labels, " + right.length + " asked";
        }
        int equal = 0;
        for (int i = 0; i < right.length; i++) {
            equal += right[i] == found[i] ? 1 : 0;
        }
        return equal >= share * right.length ? null : equal + " of " + right.length + " labels are right";
    }

    private static double[] values(ByteBuffer buffer, String type) {
        if (buffer == null) {
            return new double[0];
        }
        ByteBuffer from = buffer.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        from.rewind();
        int size = type.endsWith("64") ? 8 : type.endsWith("32") ? 4 : 1;
        double[] values = new double[from.remaining() / size];
        for (int i = 0; i < values.length; i++) {
            if (type.equals("float32")) {
                values[i] = from.getFloat();
            } else if (type.equals("int32")) {
                values[i] = from.getInt();
            } else if (type.equals("int64")) {
                values[i] = from.getLong();
            } else {
                values[i] = type.equals("uint8") ? from.get() & 0xff : from.get();
            }
        }
        return values;
    }

    private ByteBuffer read(String name) throws IOException {
        return ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN);
    }

    private byte[] bytes(String name) throws IOException {
        InputStream from = files.open(name);
        try {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            byte[] part = new byte[1 << 16];
            for (int count = from.read(part); count >= 0; count = from.read(part)) {
                all.write(part, 0, count);
            }
            return all.toByteArray();
        } finally {
            from.close();
        }
    }
}
