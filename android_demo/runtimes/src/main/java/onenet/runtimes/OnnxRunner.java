package onenet.runtimes;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.util.Collections;
import onenet.core.ModelFile;
import onenet.core.Problem;
import onenet.core.Runner;
import onenet.core.TensorSpec;

/** A model in ONNX Runtime, on the CPU. Runs on Android and on any JVM. */
public final class OnnxRunner implements Runner {
    private final OrtEnvironment environment;
    private final OrtSession.SessionOptions options;
    private final OrtSession session;
    private final TensorSpec input;
    private final TensorSpec output;

    public OnnxRunner(ModelFile model, int threads) throws Problem {
        input = model.manifest.input;
        output = model.manifest.output;
        try {
            environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "onenet");
            environment.setTelemetry(false);
            options = new OrtSession.SessionOptions();
            options.setIntraOpNumThreads(threads);
            options.setInterOpNumThreads(1);
            session = environment.createSession(model.bytes, options);
        } catch (OrtException error) {
            throw new Problem(Problem.textOf("ONNX Runtime cannot open " + model.manifest.file, error), error);
        }
        if (!session.getInputNames().contains(input.name) || !session.getOutputNames().contains(output.name)) {
            close();
            throw new Problem(model.manifest.file + " takes " + session.getInputNames() + " and gives "
                    + session.getOutputNames() + ", its manifest says "
                    + input.name + " and " + output.name + "; export it again");
        }
    }

    @Override
    public String name() {
        return "onnxruntime";
    }

    @Override
    public String version() {
        return environment.getVersion();
    }

    @Override
    public ByteBuffer run(ByteBuffer fed) throws Problem {
        OnnxTensor tensor = null;
        OrtSession.Result result = null;
        try {
            tensor = OnnxTensor.createTensor(environment, fed, shape(input), javaType(input));
            result = session.run(Collections.singletonMap(input.name, tensor), Collections.singleton(output.name));
            return ((OnnxTensor) result.get(0)).getByteBuffer();
        } catch (OrtException error) {
            throw new Problem(Problem.textOf("The inference failed", error), error);
        } finally {
            if (result != null) {
                result.close();
            }
            if (tensor != null) {
                tensor.close();
            }
        }
    }

    private static long[] shape(TensorSpec spec) {
        long[] shape = new long[spec.shape.length];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = spec.shape[i];
        }
        return shape;
    }

    private static OnnxJavaType javaType(TensorSpec spec) {
        if (spec.type.equals("float32")) {
            return OnnxJavaType.FLOAT;
        }
        return spec.type.equals("uint8") ? OnnxJavaType.UINT8 : OnnxJavaType.INT8;
    }

    @Override
    public void close() {
        try {
            session.close();
        } catch (OrtException error) {
            // It is gone either way.
        }
        options.close();
    }
}
