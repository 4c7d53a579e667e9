// The page: takes a step from the host, runs it in a worker of its own, gives the answer back, until the host ends the browser.
"use strict";

// The host never answers this one. Where it has died the connection breaks, and nobody waits for this page any more.
fetch("alive").catch(() => {}).finally(() => window.close());

async function takeSteps() {
  for (;;) {
    const step = await (await fetch("step")).json();
    const answer = await inWorker(step);
    await fetch("answer", {method: "POST", body: JSON.stringify({round: step.round, ...answer})});
  }
}

// What a fresh worker answers: a runtime of its own, and nothing left of the round before.
async function inWorker(step) {
  const worker = new Worker("runner.js");
  try {
    const answer = await new Promise((resolve) => {
      worker.onmessage = ({data}) => resolve(data);
      worker.onerror = (event) => resolve({error: event.message || "the worker could not be loaded"});
      setTimeout(() => resolve({error: `no answer within ${step.timeout_ms / 1000} s`}), step.timeout_ms);
      worker.postMessage(step);
    });
    return {...answer, memory: answer.error ? null : await memory()};
  } finally {
    worker.terminate();
  }
}

async function memory() {
  const t = performance.now();
  const found = await performance.measureUserAgentSpecificMemory?.();
  return {found, t: performance.now() - t, a: performance.memory?.usedJSHeapSize};
}

takeSteps();
