package onenet.core;

import java.io.Closeable;
import java.nio.ByteBuffer;

/** A model, loaded in a runtime. One thread uses it at a time. */
public interface Runner extends Closeable {
    /** Of the runtime: "onnxruntime" or "ai-edge-litert". */
    String name();

    String version();

    /**
     * One inference.
     *
     * @param input direct, in the machine's byte order, rewound; in the input's own type and layout.
     * @return the output in its own type and layout; it is overwritten by the next run.
     */
    ByteBuffer run(ByteBuffer input) throws Problem;

    @Override
    void close();
}
