// Does an app make of a picture what onenet makes of it? Written by `onenet export --tests`; README.md says how it is used.
// For browsers and Node; no library.

const ARRAYS = {float32: Float32Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array};

/**
 * What is wrong, a line each; empty where everything is right.
 *
 * app: the three steps of your app, each may be async. Tensors are typed arrays in the file's own order of axes and type.
 *   preprocess(pixels, width, height): the model's input for a picture of RGB bytes, row by row.
 *   run(input): a list of the model's outputs, in the file's order.
 *   labels(outputs, width, height): the class of each pixel of the picture; not called where there are none.
 * read: (name) -> ArrayBuffer of a file of the cases, may be async.
 */
export async function check(app, read) {
  const wrong = [], outputs = [];
  let input, share = 0, cases = 0;
  for (const line of new TextDecoder().decode(await read("cases.txt")).split("\n")) {
    const [what, ...words] = line.split(" ");
    if (what === "input") input = {type: words[0], asked: Number(words[1])};
    if (what === "output") outputs.push({type: words[0], asked: Number(words[1])});
    if (what === "labels") share = Number(words[0]);
    if (what !== "case") continue;
    cases += 1;
    const [name, width, height] = [words[0], Number(words[1]), Number(words[2])];
    const note = (step, error) => error && wrong.push(`${name}: ${step}: ${error}`);
    const fed = new ARRAYS[input.type](await read(`${name}.input.bin`));
    const pixels = new Uint8Array(await read(`${name}.rgb.bin`));
    note("preprocessing", farthest(fed, await app.preprocess(pixels, width, height), input.asked));
    const right = [];
    for (const [i, {type}] of outputs.entries()) right.push(new ARRAYS[type](await read(`${name}.output${i}.bin`)));
    const found = await app.run(fed);
    if (found?.length !== right.length) note("inference", `${found?.length ?? 0} outputs of ${right.length}`);
    else right.forEach((values, i) => note(`inference, output ${i}`, unlike(values, found[i], outputs[i].asked)));
    if (!share) continue;
    const labels = new Uint8Array(await read(`${name}.labels.bin`));
    note("postprocessing", mislabelled(labels, await app.labels(right, width, height), share));
  }
  return cases ? wrong : ["cases.txt names no case: nothing was compared"];
}

function counted(right, found, what) {
  return found?.length === right.length ? "" : `${found?.length ?? 0} ${what}, ${right.length} asked`;
}

function farthest(right, found, asked) {
  const missing = counted(right, found, "values");
  if (missing) return missing;
  let at = -1, most = asked;
  right.forEach((value, i) => {
    const difference = Math.abs(Number(found[i]) - Number(value));
    if (!(difference <= most)) [at, most] = [i, difference];
  });
  return at < 0 ? "" : `value ${at} is ${found[at]}, should be ${right[at]}; ${asked} is allowed`;
}

function unlike(right, found, asked) {
  const missing = counted(right, found, "values");
  if (missing) return missing;
  let mean = 0, signal = 0, noise = 0;
  for (const value of right) mean += Number(value) / right.length;
  right.forEach((value, i) => {
    signal += (Number(value) - mean) ** 2;
    noise += (Number(found[i]) - Number(value)) ** 2;
  });
  const decibels = 10 * Math.log10(signal / noise);
  return noise === 0 || decibels >= asked ? "" : `${Math.round(decibels)} dB, ${asked} dB asked`;
}

function mislabelled(right, found, share) {
  const missing = counted(right, found, "labels");
  if (missing) return missing;
  const equal = right.reduce((sum, label, i) => sum + (label === found[i] ? 1 : 0), 0);
  return equal >= share * right.length ? "" : `${equal} of ${right.length} labels are right`;
}
