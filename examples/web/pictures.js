// Files to pixels.

import {Refused} from "./model.js";

const MOST_PIXELS = 64e6;

/** A picture's file as a bitmap: upright, its values as they are stored. */
export async function decode(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {imageOrientation: "from-image", colorSpaceConversion: "none"});
  } catch {
    throw new Refused(`${file.name} is no picture that this browser can read.`);
  }
  const {width, height} = bitmap;
  if (width * height <= MOST_PIXELS) return bitmap;
  bitmap.close();
  throw new Refused(`${file.name} has ${width}×${height} pixels; at most ${MOST_PIXELS / 1e6} million are shown.`);
}

/** Draw a bitmap or video over black, which is what transparent pixels were calibrated as; gives its pixels. */
export function draw(canvas, source, width, height) {
  Object.assign(canvas, {width, height});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.fillStyle = "black";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
