package onenet.core;

import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What a model's file says of itself: the JSON that {@code onenet export} writes beside it as {@code FILE.json}. */
public final class Manifest {
    /** The schema that this code reads. */
    public static final int SCHEMA = 1;
    /** The one preprocessing that {@link Resize} and {@link Feed} are. */
    public static final String PREPROCESSING = "rgb01/resize-bilinear/1";
    private static final Charset UTF8 = Charset.forName("UTF-8");
    private static final int MOST_CLASSES = 256;

    /** Name of the model's file. */
    public final String file;
    public final int fileBytes;
    public final String sha256;
    public final String name;
    public final String task;
    /** "tflite", "onnx", ... */
    public final String target;
    public final String precision;
    public final TensorSpec input;
    public final TensorSpec output;
    public final List<ClassSpec> classes;
    public final Tiling tiling;
    /** The golden pair; see {@link Golden}. */
    final Entry golden;

    private Manifest(Entry root) throws Problem {
        if (!root.has("schema") || !root.has("target")) {
            throw new Problem("this JSON is no manifest of onenet; place models with onenet export --for-android");
        }
        if (root.whole("schema", 0) != SCHEMA) {
            throw new Problem("the manifest has schema " + root.whole("schema", 0) + ", this app reads " + SCHEMA
                    + "; use the app of the onenet that exported the model");
        }
        Entry artifact = root.entry("artifact");
        file = artifact.text("file");
        fileBytes = artifact.whole("bytes", 1);
        sha256 = artifact.text("sha256");
        name = root.text("name", file);
        task = root.text("task", "other");
        target = root.text("target");
        precision = root.text("precision");
        golden = root.has("golden") ? root.entry("golden") : null;
        checkPreprocessing(root.text("preprocessing", "none"));
        input = only(root, "inputs");
        output = only(root, "outputs");
        classes = classesOf(root);
        tiling = root.has("tiling") ? new Tiling(root.entry("tiling")) : Tiling.unknown();
        checkTask();
    }

    /** From the bytes of the JSON file. Throws Problem where it is no manifest that this app can follow. */
    public static Manifest read(byte[] json) throws Problem {
        return read(new String(json, UTF8));
    }

    public static Manifest read(String json) throws Problem {
        try {
            return new Manifest(new Entry(Json.read(json), "the manifest"));
        } catch (StackOverflowError error) {
            throw new Problem("the manifest is nested too deeply; export the model again", error);
        }
    }

    /** Where the input is a tile of larger images, the size of those; else the input's: height, width. */
    public int[] madeFor() {
        return tiling.imageSize != null ? tiling.imageSize : new int[] {input.size('H'), input.size('W')};
    }

    private void checkPreprocessing(String found) throws Problem {
        if (!found.equals(PREPROCESSING)) {
            throw new Problem(file + " wants the preprocessing " + found + ", this app has " + PREPROCESSING
                    + "; use the app of the onenet that exported the model");
        }
    }

    private TensorSpec only(Entry root, String key) throws Problem {
        List<Entry> found = root.entries(key);
        if (found.size() != 1) {
            throw new Problem(
                    file + " has " + found.size() + " " + key + "; this app shows models of one image and one output");
        }
        return new TensorSpec(found.get(0));
    }

    private static List<ClassSpec> classesOf(Entry root) throws Problem {
        List<ClassSpec> found = new ArrayList<ClassSpec>();
        if (root.has("classes")) {
            for (Entry each : root.entries("classes")) {
                found.add(new ClassSpec(each));
            }
        }
        return Collections.unmodifiableList(found);
    }

    private void checkTask() throws Problem {
        if (!task.equals("segmentation")) {
            throw new Problem(file + " is for " + task + "; this app shows segmentation");
        }
        boolean image = input.isImage() && input.size('N') == 1 && (input.size('C') == 3 || input.size('C') == 1);
        if (!image) {
            throw new Problem(file + " takes " + input + "; this app feeds one RGB or grey image");
        }
        boolean labels = output.role.equals("labels");
        boolean known = labels || output.role.equals("logits") || output.role.equals("probabilities");
        if (!known || (!labels && !output.isImage())) {
            throw new Problem(
                    file + " gives " + output.role + " " + output + "; this app needs a value for each class and pixel");
        }
        int pixels = input.size('H') * input.size('W');
        int values = labels ? pixels : pixels * classes.size();
        if (classes.size() < 2 || classes.size() > MOST_CLASSES || output.count() != values) {
            throw new Problem(file + " gives " + output + " and names " + classes.size() + " classes; this app needs 2 to "
                    + MOST_CLASSES + " classes at the size of the image");
        }
    }
}
