package onenet.runtimes;

import onenet.core.Measurement;
import onenet.core.ModelFile;
import onenet.core.Problem;
import onenet.core.Runner;

/** Which runtime opens which kind of file. */
public final class Runtimes implements Measurement.Opener {
    /** What people call the runtime of a target; null where this app has none for it. */
    public static String title(String target) {
        return target.equals("tflite") ? "LiteRT" : target.equals("onnx") ? "ONNX Runtime" : null;
    }

    /** Throws Problem where the file, or its runtime, cannot be loaded. */
    @Override
    public Runner open(ModelFile model, int threads) throws Problem {
        String title = title(model.manifest.target);
        if (title == null) {
            throw new Problem(model.manifest.file + " is " + model.manifest.target + "; this app runs tflite and onnx");
        }
        try {
            return model.manifest.target.equals("tflite") ? new LiteRtRunner(model, threads) : new OnnxRunner(model, threads);
        } catch (LinkageError error) { // no such class, or no such library for this processor
            throw new Problem(title + " is not in this build of the app; choose another runtime", error);
        }
    }
}
