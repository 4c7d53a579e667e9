// One round: load, first inference, warm up, sample.

import {figure, limit, milliseconds, resolution, sample, sustain, warmUp} from "./timing.js";

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array,
};

// Each loads the artifact and gives one inference: from the inputs to a list of arrays in the order of step.outputs.
const RUNTIMES = {
  "onnxruntime-web": async (step, artifact, inputs) => {
    const ort = await import("./onnxruntime-web/ort.wasm.bundle.min.mjs");
    ort.env.wasm.numThreads = step.threads;
    ort.env.wasm.wasmPaths = {wasm: new URL("onnxruntime-web/ort-wasm-simd-threaded.wasm", location).href};
    const session = await ort.InferenceSession.create(artifact, {executionProviders: ["wasm"]});
    const feeds = {};
    for (const {name, dtype, shape, values} of inputs) feeds[name] = new ort.Tensor(dtype, values, shape);
    return async () => {
      const results = await session.run(feeds);
      return step.outputs.map((name) => named(results, name).data);
    };
  },
  litertjs: async (step, artifact, inputs) => {
    const litert = await import("./litertjs/core.js");
    await litert.loadLiteRt(new URL("litertjs/wasm/", location).href, {threads: step.threads > 1});
    const model = await litert.loadAndCompile(artifact, {accelerator: "wasm", cpuOptions: {numThreads: step.threads}});
    return async () => {
      const feeds = {};
      for (const {name, shape, values} of inputs) feeds[name] = new litert.Tensor(values, shape);
      const results = await model.run(feeds);
      const values = step.outputs.map((name) => named(results, name).toTypedArray());
      for (const tensor of [...Object.values(feeds), ...Object.values(results)]) tensor.delete();
      return values;
    };
  },
};

function named(results, name) {
  if (name in results) return results[name];
  throw new Error(`no output ${name}; it has ${Object.keys(results)}`);
}

// Every memory that a wasm module works in. They never shrink: the size at the end is the peak.
const memories = new Set();
for (const name of ["instantiate", "instantiateStreaming"]) {
  const original = WebAssembly[name];
  WebAssembly[name] = async (source, imports = {}) => {
    const result = await original.call(WebAssembly, source, imports);
    const {exports} = result.instance ?? result;
    for (const each of [...Object.values(exports), ...Object.values(imports).flatMap(Object.values)]) {
      if (each instanceof WebAssembly.Memory) memories.add(each);
    }
    return result;
  };
}

async function bytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  return response.arrayBuffer();
}

async function send(address, body) {
  await fetch(address, {method: "POST", body});
}

async function measure(step, progress) {
  const artifact = new Uint8Array(await bytes("artifact"));
  const inputs = await Promise.all(
    step.inputs.map(async (spec, i) => ({...spec, values: new ARRAYS[spec.dtype](await bytes(`input${i}`))})),
  );
  progress.doing = "load";
  const begin = performance.now();
  const run = await RUNTIMES[step.runtime](step, artifact, inputs);
  const load_ms = figure(performance.now() - begin);
  progress.doing = "run";
  const first_ms = figure(await milliseconds(run));
  const warmup_runs = await warmUp(run, step);
  if (step.sustained_minutes) return {minutes: await sustain(run, step)};
  const samples_ms = await sample(run, step);
  const outputs = await run();
  for (const [i, values] of outputs.entries()) await send(`output${i}`, values.slice());  // a copy: memory may be shared
  const peak_bytes = [...memories].reduce((sum, {buffer}) => sum + buffer.byteLength, 0);
  return {load_ms, first_ms, warmup_runs, samples_ms, peak_bytes, resolution_ms: resolution()};
}

// The host does not answer this one. It sees the connection break where this page dies.
fetch("alive").catch(() => {});

const progress = {doing: "fetch"};
const step = await (await fetch("step")).json();
Object.assign(limit, {at: performance.now() + 1000 * step.seconds_left, timeout: step.timeout});
const answer = await measure(step, progress).catch((error) => ({
  error: `cannot ${progress.doing} it: ${String(error?.message ?? error).slice(0, 1000)}`,
}));
await send("answer", JSON.stringify(answer));
