// An artifact and its manifest, opened in the browser's runtime. Everything about the model comes from the manifest.

import {toInput, toLabels} from "./pixels.js";
import {ARRAYS, load} from "./runtimes.js";

const SCHEMA = 1;
const RUNTIMES = {onnx: "onnxruntime-web", tflite: "litertjs"};
const TITLES = {"onnxruntime-web": "ONNX Runtime Web", litertjs: "LiteRT.js"};
const PLACES = {
  "onnxruntime-web": {
    module: "node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs",
    wasm: "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
  },
  litertjs: {module: "node_modules/@litertjs/core/dist/index.js", wasm: "node_modules/@litertjs/core/wasm/"},
};

/** What the page cannot use, in words for its user. */
export class Refused extends Error {}

/** The manifest in a text, if it is one that this page can use. */
export function readManifest(text, name) {
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch {
    throw new Refused(`${name} is not JSON. The manifest lies beside the model: MODEL.json.`);
  }
  if (!manifest || manifest.schema === undefined || !manifest.inputs || !manifest.outputs || !manifest.artifact) {
    throw new Refused(`${name} is no manifest of onenet.`);
  }
  if (manifest.schema !== SCHEMA) {
    throw new Refused(`${name} has schema ${manifest.schema}; this page reads ${SCHEMA}. Use the page of the same version.`);
  }
  const [input, ...more] = manifest.inputs, output = manifest.outputs[0];
  const size = ({shape, layout}) => (layout === "NHWC" ? shape.slice(1, 3) : shape.slice(-2)).join("x");
  if (manifest.task !== "segmentation" || more.length || input.role !== "image" || size(input) !== size(output)) {
    throw new Refused(`${name}: this page shows masks of one picture; the model is for ${manifest.task}.`);
  }
  const channels = output.layout === "NHWC" ? output.shape[3] : output.shape[1];
  if (output.role !== "labels" && channels !== manifest.classes.length) {
    throw new Refused(`${name}: ${channels} channel for ${manifest.classes.length} classes; export with --output labels.`);
  }
  for (const {name: tensor, dtype} of [input, output]) {
    if (!(dtype in ARRAYS)) throw new Refused(`${name}: ${tensor} is ${dtype}; export with --io float.`);
  }
  return manifest;
}

async function hash(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A model that is ready to run. */
export class Model {
  /**
   * artifact, manifest: the bytes of the file, and the text of the manifest beside it; name: the file's name.
   * threads: of the runtime; more than one needs a page that is cross-origin isolated.
   */
  static async open(artifact, manifest, name, threads = 1) {
    const content = readManifest(manifest, `${name}.json`);
    const runtime = RUNTIMES[name.split(".").pop()];
    if (!runtime) throw new Refused(`${name}: browsers run .tflite and .onnx files.`);
    const found = await hash(artifact);
    if (found !== content.artifact.sha256) {
      throw new Refused(`${name} is not the file that its manifest describes (${content.artifact.file}). Take both from one export.`);
    }
    const outputs = content.outputs.map((output) => output.name);
    const infer = await load(runtime, new Uint8Array(artifact), threads, outputs, PLACES);
    return new Model(content, TITLES[runtime], infer);
  }

  constructor(manifest, runtime, infer) {
    Object.assign(this, {manifest, runtime, infer});
    [this.input, this.output] = [manifest.inputs[0], manifest.outputs[0]];
    this.classes = manifest.classes;
  }

  get title() {
    return `${this.manifest.name} ${this.manifest.precision}, ${this.runtime}`;
  }

  preprocess(rgba, width, height) {
    return toInput(rgba, width, height, this.input, ARRAYS[this.input.dtype]);
  }

  run(values) {
    return this.infer([{...this.input, values}]);
  }

  labels([values], width, height) {
    return toLabels(values, this.output, width, height);
  }

  /** The class of each pixel of a picture of RGBA bytes, and what each step took in ms. */
  async segment(rgba, width, height) {
    const times = [performance.now()];
    const input = this.preprocess(rgba, width, height);
    times.push(performance.now());
    const outputs = await this.run(input);
    times.push(performance.now());
    const labels = this.labels(outputs, width, height);
    times.push(performance.now());
    const [preprocessing, inference, postprocessing] = [0, 1, 2].map((i) => times[i + 1] - times[i]);
    return {labels, preprocessing, inference, postprocessing};
  }
}
