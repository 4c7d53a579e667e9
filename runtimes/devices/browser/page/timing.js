// When and how often is run, and what is counted: the rules of runtimes/latency.py.

const MOST_WARMUPS = 20;

// Timers do not run between inferences, which never leave this thread: the clock is looked at instead.
export const limit = {at: Infinity, timeout: 0};

export async function milliseconds(run) {
  const start = performance.now();
  if (start > limit.at) throw new Error(`it took over ${limit.timeout} s in all; a larger --timeout waits longer`);
  await run();
  return performance.now() - start;
}

// As long as the plan says; then as much again until twice in a row no run is 5 % faster than all before: the browser
// compiles what runs often once more, in the background, which takes seconds for the larger runtime.
export async function warmUp(run, step) {
  let [runs, fastest, settled] = [0, Infinity, 0];
  for (let i = 0; i < MOST_WARMUPS && settled < 2; i += 1) {
    const start = performance.now();
    let best = Infinity;
    while (runs < step.warmup_runs || (performance.now() - start < 1000 * step.warmup_seconds && runs < step.most_samples)) {
      best = Math.min(best, await milliseconds(run));
      runs += 1;
    }
    if (!step.warmup_seconds) break;
    settled = best > 0.95 * fastest ? settled + 1 : 0;
    fastest = Math.min(fastest, best);
  }
  return runs;
}

export async function sample(run, step) {
  const start = performance.now();
  const samples = [];
  const some = () => performance.now() - start < 1000 * step.seconds && samples.length < step.most_samples;
  while (samples.length < step.runs || some()) {
    samples.push(await milliseconds(run));
  }
  return samples.map(figure);
}

export async function sustain(run, step) {
  const minutes = [];
  const end = performance.now() + step.sustained_minutes * step.minute_ms;
  for (let begin = performance.now(); begin < end; begin = performance.now()) {
    const samples = [];
    while (!samples.length || performance.now() < Math.min(begin + step.minute_ms, end)) samples.push(await milliseconds(run));
    samples.sort((a, b) => a - b);
    const [p50_ms, p90_ms, p99_ms] = [0.5, 0.9, 0.99].map((share) => figure(quantile(samples, share)));
    minutes.push({minute: minutes.length + 1, n: samples.length, p50_ms, p90_ms, p99_ms});
  }
  return minutes;
}

// Of sorted values, interpolated as numpy.percentile does.
export function quantile(values, share) {
  const at = share * (values.length - 1);
  const low = Math.floor(at);
  return values[low] + (at - low) * (values[Math.ceil(at)] - values[low]);
}

export function figure(value) {
  return Math.round(value * 1e6) / 1e6;
}

// The smallest step of the clock, which browsers coarsen on purpose.
export function resolution() {
  let smallest = Infinity;
  for (let i = 0; i < 10; i += 1) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return figure(smallest);
}
