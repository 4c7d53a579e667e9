// The page: a picture or the camera in, an overlay and its figures out.

import {Model, Refused} from "./model.js";
import {decode, draw} from "./pictures.js";
import {counted, painted} from "./pixels.js";

const OPACITY = 0.55, KEPT = 100;
const at = (id) => document.getElementById(id);
const picture = at("picture"), overlay = at("overlay");
let model, camera, shown, samples = [];

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

// Runs what a control asks for; what goes wrong is told on the page.
async function doing(action) {
  try {
    await action();
  } catch (error) {
    const memory = error instanceof RangeError || /memory|allocation/i.test(error?.message);
    if (error instanceof Refused) say(error.message, true);
    else if (memory) say("This device has too little memory for it. Try a smaller picture or model.", true);
    else say(`It did not work: ${error?.message ?? error}`, true);
  }
}

async function bytes(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Refused(`${address} is not there. README.md says how to export a model into models/.`);
  return answer.arrayBuffer();
}

async function open(artifact, manifest, name) {
  say(`Loading ${name} …`);
  const threads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 4) : 1;
  model = await Model.open(artifact, manifest, name, threads);
  samples = [];
  at("legend").replaceChildren(...model.classes.map(({name: label, colour}) => {
    const item = document.createElement("li"), box = document.createElement("span");
    box.style.background = colour;
    item.append(box, label);
    return item;
  }));
  at("about").textContent = `${model.title}, ${threads} thread${threads === 1 ? "" : "s"}`;
  for (const control of document.querySelectorAll("[data-needs-model]")) control.disabled = false;
  performance.mark("ready");
  say("Ready. Choose a picture, or start the camera.");
  if (shown) await show();
}

async function openFrom(folder, name) {
  await open(await bytes(`${folder}/${name}`), new TextDecoder().decode(await bytes(`${folder}/${name}.json`)), name);
}

// What was chosen; the same can be chosen again.
function taken(input) {
  const files = [...input.files];
  input.value = "";
  return files;
}

async function openFiles(files) {
  const artifact = files.find((file) => !file.name.endsWith(".json"));
  const manifest = files.find((file) => file.name === `${artifact?.name}.json`);
  if (!artifact || !manifest) throw new Refused("Choose two files together: the model, and MODEL.json beside it.");
  await open(await artifact.arrayBuffer(), await manifest.text(), artifact.name);
}

async function choose(file) {
  stop();
  const bitmap = await decode(file);
  shown = draw(picture, bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  await show();
}

async function show() {
  const {labels, ...times} = await model.segment(shown.data, shown.width, shown.height);
  const pixels = new ImageData(painted(labels, model.classes, OPACITY), shown.width, shown.height);
  Object.assign(overlay, {width: shown.width, height: shown.height});
  overlay.getContext("2d").putImageData(pixels, 0, 0);
  if (!samples.length) performance.mark("mask");
  const counts = counted(labels, model.classes.length);
  const shares = model.classes.map(({name}, i) => `${name} ${(100 * counts[i] / labels.length).toFixed(1)} %`);
  say(`Seen: ${shares.join(", ")}.`);
  samples = [...samples.slice(1 - KEPT), times];
  figures();
}

function figures() {
  const percentile = (name, share) => {
    const sorted = samples.map((each) => each[name]).sort((a, b) => a - b);
    return sorted[Math.ceil(share * sorted.length) - 1].toFixed(1);
  };
  for (const name of ["preprocessing", "inference", "postprocessing"]) {
    at(name).textContent = samples.at(-1)[name].toFixed(1);
    at(`${name}-50`).textContent = percentile(name, 0.5);
    at(`${name}-90`).textContent = percentile(name, 0.9);
  }
  at("count").textContent = `over the last ${samples.length} picture${samples.length === 1 ? "" : "s"}`;
}

async function start() {
  try {
    camera = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment", width: {ideal: 640}}});
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    throw new Refused(denied ? "The browser was not allowed to use the camera. Choose a picture instead." : "No camera was found.");
  }
  const video = Object.assign(document.createElement("video"), {srcObject: camera, muted: true, playsInline: true});
  await video.play();
  at("camera").textContent = "Stop the camera";
  const mine = camera;
  while (camera === mine) {
    shown = draw(picture, video, video.videoWidth, video.videoHeight);
    await show();
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = undefined;
  at("camera").textContent = "Start the camera";
}

at("model").addEventListener("change", (event) => doing(() => openFrom("models", event.target.value)));
at("files").addEventListener("change", (event) => doing(() => openFiles(taken(event.target))));
at("image").addEventListener("change", (event) => doing(() => choose(taken(event.target)[0])));
at("camera").addEventListener("click", () => doing(() => (camera ? stop() : start())));
at("visible").addEventListener("change", (event) => overlay.classList.toggle("hidden", !event.target.checked));
const asked = new URLSearchParams(location.search).get("model");
if ([...at("model").options].some(({value}) => value === asked)) at("model").value = asked;
doing(() => openFrom("models", at("model").value));
