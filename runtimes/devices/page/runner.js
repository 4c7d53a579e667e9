// One round in a worker: load, first inference, warm up, sample; see runtimes/latency.py, whose rules these are.
"use strict";

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
};

// Each gives `run`, one inference from the inputs to a list of output arrays in the order of step.outputs.
const RUNTIMES = {
  "onnxruntime-web": async (step, artifact, inputs) => {
    const ort = await import("./onnxruntime-web/ort.wasm.bundle.min.mjs");
    ort.env.wasm.numThreads = step.threads;
    ort.env.wasm.wasmPaths = {wasm: new URL("onnxruntime-web/ort-wasm-simd-threaded.wasm", location.href).href};
    const session = await ort.InferenceSession.create(artifact, {executionProviders: ["wasm"]});
    const tensors = inputs.map(({name, dtype, shape, values}) => [name, new ort.Tensor(dtype, values, shape)]);
    const feeds = Object.fromEntries(tensors);
    return async () => {
      const results = await session.run(feeds);
      return step.outputs.map((name) => results[name].data);
    };
  },
  litertjs: async (step, artifact, inputs) => {
    const litert = await import("./litertjs/core.js");
    await litert.loadLiteRt(new URL("litertjs/wasm/", location.href).href, {threads: step.threads > 1});
    const options = {accelerator: "wasm", cpuOptions: {numThreads: step.threads}};
    const model = await litert.loadAndCompile(artifact, options);
    return async () => {
      const feeds = Object.fromEntries(inputs.map(({name, shape, values}) => [name, new litert.Tensor(values, shape)]));
      const results = await model.run(feeds);
      const values = step.outputs.map((name) => results[name].toTypedArray());
      [...Object.values(feeds), ...Object.values(results)].forEach((tensor) => tensor.delete());
      return values;
    };
  },
};

onmessage = async ({data: step}) => {
  const progress = {doing: "fetching the artifact"};
  try {
    postMessage(await measure(step, progress));
  } catch (error) {
    postMessage({error: `${progress.doing}: ${error?.message ?? error}`});
  }
};

async function measure(step, progress) {
  const artifact = new Uint8Array(await bytes("artifact"));
  const inputs = await Promise.all(step.inputs.map(async (spec, i) => (
    {...spec, values: new ARRAYS[spec.dtype](await bytes(`input${i}`))}
  )));
  progress.doing = "loading";
  const begin = performance.now();
  const run = await RUNTIMES[step.runtime](step, artifact, inputs);
  const load_ms = performance.now() - begin;
  progress.doing = "running";
  const first_ms = await milliseconds(run);
  const warmup_runs = await warmUp(run, step);
  const samples_ms = await sample(run, step);
  const minutes = step.sustained_minutes ? await sustain(run, step) : [];
  const outputs = (await run()).map(base64);
  return {load_ms, first_ms, warmup_runs, samples_ms, minutes, outputs, resolution_ms: resolution(), cores: navigator.hardwareConcurrency};
}

async function bytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  return response.arrayBuffer();
}

async function milliseconds(run) {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

async function warmUp(run, step) {
  const start = performance.now();
  let runs = 0;
  while (runs < step.warmup_runs || (performance.now() - start < 1000 * step.warmup_seconds && runs < step.most_samples)) {
    await run();
    runs += 1;
  }
  return runs;
}

async function sample(run, step) {
  const start = performance.now();
  const samples = [];
  while (samples.length < step.runs || (performance.now() - start < 1000 * step.seconds && samples.length < step.most_samples)) {
    samples.push(await milliseconds(run));
  }
  return samples;
}

async function sustain(run, step) {
  const end = performance.now() + step.sustained_minutes * step.minute_ms;
  const minutes = [];
  for (let begin = performance.now(); begin < end; begin = performance.now()) {
    const samples = [];
    while (!samples.length || performance.now() < Math.min(begin + step.minute_ms, end)) samples.push(await milliseconds(run));
    minutes.push({n: samples.length});
  }
  return minutes;
}

// The smallest step that the clock makes; browsers coarsen it on purpose.
function resolution() {
  let smallest = Infinity;
  for (let i = 0; i < 20; i += 1) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return smallest;
}

function base64(values) {
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < raw.length; i += 0x8000) text += String.fromCharCode(...raw.subarray(i, i + 0x8000));
  return btoa(text);
}
