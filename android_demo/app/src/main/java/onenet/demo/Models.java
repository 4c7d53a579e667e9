package onenet.demo;

import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import onenet.core.Manifest;
import onenet.core.ModelFile;
import onenet.core.Problem;

/** The models among the app's assets. */
final class Models {
    private static final String FOLDER = "models";

    /** Those that this app can run, in the order of their names. */
    final List<Manifest> manifests = new ArrayList<Manifest>();
    /** Why others are left out, a line each. */
    final List<String> problems = new ArrayList<String>();
    private final AssetManager assets;

    Models(AssetManager assets) {
        this.assets = assets;
        try {
            String[] names = assets.list(FOLDER);
            Arrays.sort(names);
            for (String name : names) {
                if (ModelFile.isManifest(name)) {
                    add(name);
                }
            }
        } catch (IOException error) {
            problems.add(Problem.textOf("The app's models cannot be listed", error));
        }
        if (manifests.isEmpty() && problems.isEmpty()) {
            problems.add("This app holds no model; run onenet export --for-android android_demo/ and build it again");
        }
    }

    private void add(String name) {
        try {
            manifests.add(Manifest.read(bytes(name)));
        } catch (Problem problem) {
            problems.add(name + ": " + problem.getMessage());
        } catch (IOException error) {
            problems.add(Problem.textOf(name + " cannot be read", error));
        }
    }

    /** The model of a manifest. Throws Problem where its file is missing or another one. */
    ModelFile load(Manifest manifest) throws Problem {
        try {
            return new ModelFile(manifest, bytes(manifest.file));
        } catch (FileNotFoundException error) {
            throw new Problem(
                    manifest.file + " is missing beside its manifest; place both with onenet export --for-android", error);
        } catch (IOException error) {
            throw new Problem(Problem.textOf(manifest.file + " cannot be read", error), error);
        }
    }

    private byte[] bytes(String name) throws IOException {
        InputStream stream = assets.open(FOLDER + "/" + name);
        try {
            return Streams.all(stream);
        } finally {
            stream.close();
        }
    }

    /** Reading a stream to its end. */
    static final class Streams {
        private Streams() {}

        static byte[] all(InputStream stream) throws IOException {
            return upTo(stream, Integer.MAX_VALUE);
        }

        static byte[] upTo(InputStream stream, int most) throws IOException {
            ByteArrayOutputStream found = new ByteArrayOutputStream();
            byte[] block = new byte[1 << 16];
            int count;
            while (found.size() < most && (count = stream.read(block)) >= 0) {
                found.write(block, 0, count);
            }
            return found.toByteArray();
        }
    }
}
