package onenet.core;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The test cases that {@code onenet export --tests DIR} writes: {@code DIR/FILE/cases.txt} for each artifact FILE, with raw
 * files beside it. The folder is named by the system property {@code onenet.cases} or the variable {@code ONENET_CASES}; the
 * artifacts lie in the folder that {@code onenet.models} or {@code ONENET_MODELS} names, or beside cases.txt.
 */
public final class Cases {
    public final Manifest manifest;
    public final List<Case> cases = new ArrayList<Case>();
    /** Most that a value of the input may differ by. */
    public double inputTolerance;
    /** Least share of equal labels. */
    public double leastLabels;
    private final File folder;

    /** One picture, and what Python made of it. */
    public static final class Case {
        public final String name;
        public final Picture picture;
        public final Segmenter.Fit fit;
        /** Raw bytes as the model takes and gives them; null where the picture is run in tiles. */
        public final byte[] input;
        public final byte[] output;
        /** Unsigned bytes (height, width). */
        public final byte[] labels;

        Case(String[] words, File folder) throws Problem, IOException {
            boolean tiled = words[0].equals("tiled");
            name = words[1];
            fit = tiled ? Segmenter.Fit.AUTO : Segmenter.Fit.RESIZE;
            picture = new Picture(Integer.parseInt(words[2]), Integer.parseInt(words[3]), bytes(folder, name + ".rgb.bin"));
            input = tiled ? null : bytes(folder, name + ".input.bin");
            output = tiled ? null : bytes(folder, name + ".output0.bin");
            labels = bytes(folder, name + ".labels.bin");
        }

        private static byte[] bytes(File folder, String name) throws IOException {
            return Files.readAllBytes(new File(folder, name).toPath());
        }
    }

    private Cases(File folder) throws Problem, IOException {
        this.folder = folder;
        Manifest found = null;
        for (String line : Files.readAllLines(new File(folder, "cases.txt").toPath(), StandardCharsets.UTF_8)) {
            String[] words = line.split(" ", 4);
            if (words[0].equals("artifact")) {
                found = manifestOf(words[1], line.split(" ", 3)[2]);
            } else if (words[0].equals("input")) {
                inputTolerance = Double.parseDouble(words[2]);
            } else if (words[0].equals("labels")) {
                leastLabels = Double.parseDouble(words[1]);
            } else if (words[0].equals("case") || words[0].equals("tiled")) {
                cases.add(new Case(words, folder));
            }
        }
        manifest = found;
    }

    private Manifest manifestOf(String sha256, String file) throws Problem, IOException {
        Manifest found = Manifest.read(Files.readAllBytes(beside(file + ".json").toPath()));
        if (!found.sha256.equals(sha256)) {
            throw new Problem("the cases in " + folder + " are those of another " + file);
        }
        return found;
    }

    /** A file of the artifact. */
    private File beside(String name) {
        File here = new File(folder, name);
        return here.isFile() ? here : new File(named("onenet.models", "ONENET_MODELS"), name);
    }

    private static String named(String property, String variable) {
        String found = System.getProperty(property, "");
        return found.isEmpty() ? System.getenv(variable) : found;
    }

    /** The artifact itself. */
    public ModelFile model() throws Problem, IOException {
        return new ModelFile(manifest, Files.readAllBytes(beside(manifest.file).toPath()));
    }

    /** All of them; empty where no folder is named. */
    public static List<Cases> all() throws Problem, IOException {
        String place = named("onenet.cases", "ONENET_CASES");
        List<Cases> found = new ArrayList<Cases>();
        File[] folders = place == null ? null : new File(place).listFiles(File::isDirectory);
        if (folders != null) {
            Arrays.sort(folders);
            for (File each : folders) {
                found.add(new Cases(each));
            }
        }
        return found;
    }

    /** Share of equal bytes. */
    public static double agreement(byte[] one, byte[] other) {
        int same = 0;
        for (int i = 0; i < one.length; i++) {
            same += one[i] == other[i] ? 1 : 0;
        }
        return one.length == other.length ? same / (double) one.length : 0;
    }
}
