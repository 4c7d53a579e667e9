package onenet.runtimes;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import onenet.core.ModelFile;
import onenet.core.Problem;
import onenet.core.Runner;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;

/** A model in LiteRT, on the CPU with XNNPACK. */
public final class LiteRtRunner implements Runner {
    private final ByteBuffer bytes;
    private final Interpreter interpreter;
    private final ByteBuffer given;

    public LiteRtRunner(ModelFile model, int threads) throws Problem {
        bytes = ByteBuffer.allocateDirect(model.bytes.length).order(ByteOrder.nativeOrder());
        bytes.put(model.bytes);
        bytes.rewind();
        given = ByteBuffer.allocateDirect(model.manifest.output.bytes()).order(ByteOrder.nativeOrder());
        Interpreter.Options options = new Interpreter.Options();
        options.setNumThreads(threads);
        try {
            interpreter = new Interpreter(bytes, options);
        } catch (IllegalArgumentException error) {
            throw new Problem(Problem.textOf("LiteRT cannot open " + model.manifest.file, error), error);
        }
    }

    @Override
    public String name() {
        return "ai-edge-litert";
    }

    @Override
    public String version() {
        return TensorFlowLite.runtimeVersion();
    }

    @Override
    public ByteBuffer run(ByteBuffer fed) throws Problem {
        given.clear();
        try {
            interpreter.run(fed, given);
        } catch (IllegalArgumentException error) {
            throw new Problem(Problem.textOf("The inference failed", error), error);
        } finally {
            fed.rewind();
        }
        return given;
    }

    @Override
    public void close() {
        interpreter.close();
    }
}
