// Pictures to tensors and labels to pictures: what onenet's Python does, value by value. No constant of a model is in here.

const BITS = 22;  // of the weights: Pillow's resize, which calibration and evaluation use, computes in whole numbers
const HALF = 2 ** (BITS - 1);  // rounds

// For each place of the result, the first place of the source that counts, and the weights from there on.
function weights(from, to) {
  const scale = from / to, support = Math.max(scale, 1);
  return Array.from({length: to}, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0), end = Math.min(Math.trunc(centre + support + 0.5), from);
    const plain = Array.from({length: end - first}, (_, i) => Math.max(1 - Math.abs(first + i - centre + 0.5) / support, 0));
    const sum = plain.reduce((a, b) => a + b, 0);
    return {first, whole: Int32Array.from(plain, (weight) => Math.trunc(0.5 + (weight / sum) * 2 ** BITS))};
  });
}

// RGBA rows to RGB rows of another length.
function resizedRows(rgba, width, height, newWidth) {
  const places = weights(width, newWidth), result = new Uint8Array(3 * newWidth * height);
  for (let row = 0, at = 0; row < height; row++) {
    for (const {first, whole} of places) {
      let red = HALF, green = HALF, blue = HALF;
      for (let i = 0, from = 4 * (row * width + first); i < whole.length; i++, from += 4) {
        red += rgba[from] * whole[i];
        green += rgba[from + 1] * whole[i];
        blue += rgba[from + 2] * whole[i];
      }
      result[at++] = red >> BITS;
      result[at++] = green >> BITS;
      result[at++] = blue >> BITS;
    }
  }
  return result;
}

// RGB columns to columns of another length.
function resizedColumns(rgb, width, height, newHeight) {
  const length = 3 * width, result = new Uint8Array(length * newHeight), sums = new Int32Array(length);
  for (const [row, {first, whole}] of weights(height, newHeight).entries()) {
    sums.fill(HALF);
    whole.forEach((weight, i) => {
      for (let x = 0, from = (first + i) * length; x < length; x++) sums[x] += rgb[from + x] * weight;
    });
    for (let x = 0; x < length; x++) result[row * length + x] = sums[x] >> BITS;
  }
  return result;
}

/** RGBA bytes (height, width) as RGB bytes of another size: bilinear with antialiasing, rows first. */
export function resized(rgba, width, height, newWidth, newHeight) {
  const wide = resizedRows(rgba, width, height, newWidth);  // of the same length they stay as they are
  return height === newHeight ? wide : resizedColumns(wide, newWidth, height, newHeight);
}

// ITU-R 601, in whole numbers.
function luma(rgba) {
  const result = new Uint8ClampedArray(rgba.length);
  for (let i = 0; i < rgba.length; i += 4) {
    const grey = (19595 * rgba[i] + 38470 * rgba[i + 1] + 7471 * rgba[i + 2] + 32768) >> 16;
    result.fill(grey, i, i + 3);
  }
  return result;
}

function round(value) {  // halves to even
  const down = Math.floor(value), rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2) ? down + 1 : down;
}

/** What the model's input holds for a picture of RGBA bytes; `spec` is the manifest's entry, `Kind` its array type. */
export function toInput(rgba, width, height, spec, Kind) {
  const [, channels, rows, columns] = canonical(spec);
  const rgb = resized(channels === 1 ? luma(rgba) : rgba, width, height, columns, rows);
  const values = new Kind(spec.shape.reduce((a, b) => a * b)), size = rows * columns;
  const [low, high] = Kind === Float32Array ? [-Infinity, Infinity] : Kind === Uint8Array ? [0, 255] : [-128, 127];
  const table = Array.from({length: 256}, (_, byte) => {
    const value = Math.fround(byte / 255);
    if (spec.scale == null) return value;
    return Math.min(Math.max(round(Math.fround(value / Math.fround(spec.scale))) + (spec.zero_point ?? 0), low), high);
  });
  const copies = spec.shape[0];
  for (let copy = 0; copy < copies; copy++) {
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < channels; c++) {
        const at = spec.layout === "NHWC" ? i * channels + c : c * size + i;
        values[copy * channels * size + at] = table[rgb[3 * i + c]];
      }
    }
  }
  return values;
}

/** (N, C, H, W) of a tensor, whatever order its artifact has. */
export function canonical({shape, layout}) {
  return layout === "NHWC" ? [shape[0], shape[3], shape[1], shape[2]] : shape;
}

/** The class of each pixel of the picture: the largest value of the output, stretched back to its size, the nearest one. */
export function toLabels(values, spec, width, height) {
  const [, classes, rows, columns] = spec.role === "labels" ? [1, 1, ...spec.shape.slice(-2)] : canonical(spec);
  const size = rows * columns, small = new Uint8Array(size);
  for (let i = 0; i < size; i++) {
    if (spec.role === "labels") {
      small[i] = Number(values[i]);
      continue;
    }
    let best = 0, most = -Infinity;
    for (let c = 0; c < classes; c++) {
      const value = values[spec.layout === "NHWC" ? i * classes + c : c * size + i];
      if (value > most) [best, most] = [c, value];
    }
    small[i] = best;
  }
  const labels = new Uint8Array(width * height);
  const nearest = (place, from, to) => Math.floor(((2 * place + 1) * from) / (2 * to));
  const columnOf = Array.from({length: width}, (_, x) => nearest(x, columns, width));
  for (let y = 0; y < height; y++) {
    const row = nearest(y, rows, height) * columns;
    for (let x = 0; x < width; x++) labels[y * width + x] = small[row + columnOf[x]];
  }
  return labels;
}

/** How many pixels have each class. */
export function counted(labels, classes) {
  const counts = new Array(classes).fill(0);
  for (const label of labels) counts[label] += 1;
  return counts;
}

/** The labels as RGBA bytes in the manifest's colours; the first class, mostly the background, stays clear. */
export function painted(labels, classes, opacity) {
  const colours = classes.map(({colour}) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  const rgba = new Uint8ClampedArray(4 * labels.length);
  labels.forEach((label, i) => label && rgba.set([...colours[label], 255 * opacity], 4 * i));
  return rgba;
}
