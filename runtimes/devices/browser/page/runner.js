// One round: load, first inference, warm up, sample.

import {ARRAYS, load} from "./runtimes.js";
import {figure, limit, milliseconds, resolution, sample, sustain, warmUp} from "./timing.js";

// Where this machine serves what a runtime is made of.
const PLACES = {
  "onnxruntime-web": {module: "./onnxruntime-web/ort.wasm.bundle.min.mjs", wasm: "onnxruntime-web/ort-wasm-simd-threaded.wasm"},
  litertjs: {module: "./litertjs/core.js", wasm: "litertjs/wasm/"},
};

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
  const infer = await load(step.runtime, artifact, step.threads, step.outputs, PLACES);
  const run = () => infer(inputs);
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
