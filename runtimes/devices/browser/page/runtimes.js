// An artifact in a browser's runtime, on the CPU. The browser device and examples/web share this file.

export const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array,
};

const RUNTIMES = {
  "onnxruntime-web": async (artifact, threads, outputs, place) => {
    const ort = await import(place.module);
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = {wasm: new URL(place.wasm, location).href};
    const session = await ort.InferenceSession.create(artifact, {executionProviders: ["wasm"]});
    return async (inputs) => {
      const feeds = {};
      for (const {name, dtype, shape, values} of inputs) feeds[name] = new ort.Tensor(dtype, values, shape);
      const results = await session.run(feeds);
      return outputs.map((name) => named(results, name).data);
    };
  },
  litertjs: async (artifact, threads, outputs, place) => {
    const litert = await import(place.module);
    await started(litert, place.wasm, threads);
    const model = await litert.loadAndCompile(artifact, {accelerator: "wasm", cpuOptions: {numThreads: threads}});
    return async (inputs) => {
      const feeds = {};
      for (const {name, shape, values} of inputs) feeds[name] = new litert.Tensor(values, shape);
      const results = await model.run(feeds);
      const values = outputs.map((name) => named(results, name).toTypedArray());
      for (const tensor of [...Object.values(feeds), ...Object.values(results)]) tensor.delete();
      return values;
    };
  },
};

let litertStart;

// LiteRT.js starts once for a page; the first threads stay.
function started(litert, wasm, threads) {
  if (!litertStart) {
    tellNotesAsNotes();
    litertStart = litert.loadLiteRt(new URL(wasm, location).href, {threads: threads > 1});
  }
  return litertStart;
}

// LiteRT.js writes everything to the console as an error, "INFO: ..." as well.
function tellNotesAsNotes() {
  const {error} = console, ways = {INFO: console.info, WARNING: console.warn};
  console.error = (...words) => {
    const [, kind] = /^(INFO|WARNING): /.exec(words[0]) ?? [];
    (ways[kind] ?? error).apply(console, words);
  };
}

function named(results, name) {
  if (name in results) return results[name];
  throw new Error(`no output ${name}; it has ${Object.keys(results)}`);
}

/**
 * Load an artifact; gives a function from inputs ({name, dtype, shape, values} each) to the values of the outputs.
 *
 * runtime: "onnxruntime-web" or "litertjs". outputs: their names, in the order wanted. places: for each runtime the address of
 * its module, and of its WebAssembly: a file for onnxruntime-web, a folder for litertjs; both as this page sees them.
 */
export function load(runtime, artifact, threads, outputs, places) {
  const {module, wasm} = places[runtime];
  return RUNTIMES[runtime](artifact, threads, outputs, {module: new URL(module, location).href, wasm});
}
