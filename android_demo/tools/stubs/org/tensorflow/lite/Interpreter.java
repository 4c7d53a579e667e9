package org.tensorflow.lite;

import java.nio.ByteBuffer;

/** The signatures of LiteRT's class that this app uses, to compile against without Google's Maven. Never shipped. */
public final class Interpreter implements AutoCloseable {
    /** As LiteRT's. */
    public static class Options {
        public Options setNumThreads(int threads) {
            throw new UnsupportedOperationException();
        }
    }

    public Interpreter(ByteBuffer model, Options options) {
        throw new UnsupportedOperationException();
    }

    public void run(Object input, Object output) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
