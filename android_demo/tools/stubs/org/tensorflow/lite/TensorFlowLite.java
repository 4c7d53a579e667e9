package org.tensorflow.lite;

/** See Interpreter: a signature to compile against. Never shipped. */
public final class TensorFlowLite {
    private TensorFlowLite() {}

    public static String runtimeVersion() {
        throw new UnsupportedOperationException();
    }
}
