package org.tensorflow.lite;

/** See Interpreter. */
public final class TensorFlowLite {
    private TensorFlowLite() {}

    public static String runtimeVersion() {
        return "TFLite for Android, without its Java classes";
    }
}
