package org.tensorflow.lite;

import java.io.DataInputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;

/**
 * For tests on a JVM: LiteRT's class as far as this app uses it, over TFLite's Android library in a process of its own.
 *
 * <p>LiteRT's own classes come from Google's Maven only. {@code onenet.tflite} names the folder of the program and the library.
 */
public final class Interpreter implements AutoCloseable {
    private final Process process;

    /** As LiteRT's. The library is given one thread, whatever is asked for. */
    public static class Options {
        public Options setNumThreads(int threads) {
            return this;
        }
    }

    public Interpreter(ByteBuffer model, Options options) {
        byte[] bytes = new byte[model.remaining()];
        model.duplicate().get(bytes);
        File folder = new File(System.getProperty("onenet.tflite"));
        try {
            File file = File.createTempFile("onenet", ".tflite");
            file.deleteOnExit();
            Files.write(file.toPath(), bytes);
            String program = new File(folder, "run").getPath();
            String library = new File(folder, "libtensorflowlite_jni.so").getPath();
            process = new ProcessBuilder(program, "tflite", library, file.getPath(), "/dev/stdin", "/dev/stdout")
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    public void run(Object input, Object output) {
        ByteBuffer fed = (ByteBuffer) input;
        ByteBuffer given = (ByteBuffer) output;
        byte[] bytes = new byte[fed.remaining()];
        fed.get(bytes);
        try {
            OutputStream to = process.getOutputStream();
            to.write(bytes);
            to.flush();
            byte[] result = new byte[given.remaining()];
            new DataInputStream(process.getInputStream()).readFully(result);
            given.put(result);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void close() {
        process.destroy();
    }
}
