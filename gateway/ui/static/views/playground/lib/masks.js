/** Masks of segments: from COCO's compressed run lengths, polygons or rows of numbers to one byte for each pixel. */

/**
 * The pixels of COCO's compressed run lengths, row by row: 1 inside, 0 outside.
 * Source: `rleFrString` in cocodataset's maskApi.c.
 * @param {string} counts
 * @param {number} height
 * @param {number} width
 * @returns {Uint8Array}
 */
export function maskOfRuns(counts, height, width) {
  const mask = new Uint8Array(height * width);
  let position = 0;
  let inside = 0;
  for (const length of runsOf(counts)) {
    const end = Math.min(position + length, mask.length);
    if (inside) {
      for (let index = position; index < end; index++) mask[(index % height) * width + Math.floor(index / height)] = 1;
    }
    position = end;
    inside = 1 - inside;
  }
  return mask;
}

/**
 * The lengths of the runs, outside and inside by turns, column by column.
 * @param {string} counts
 * @returns {number[]}
 */
export function runsOf(counts) {
  const runs = [];
  let position = 0;
  while (position < counts.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more && position < counts.length) {
      const code = counts.charCodeAt(position++) - 48;
      value |= (code & 0x1f) << shift;
      more = (code & 0x20) !== 0;
      shift += 5;
      if (!more && code & 0x10) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * The pixels of a mask in JSON, or null if it is an image or polygons, which canvases draw by themselves.
 * @param {{ format: string, size?: [number, number], counts?: string, pixels?: number[][] }} mask
 */
export function pixelsOf(mask) {
  if (mask.counts && mask.size) return maskOfRuns(mask.counts, mask.size[0], mask.size[1]);
  if (Array.isArray(mask.pixels)) return Uint8Array.from(mask.pixels.flat());
  return null;
}

/**
 * A mask as colours with transparency; pixels at its edge are opaque.
 * @param {Uint8Array} mask
 * @param {number} width
 * @param {[number, number, number]} colour
 * @param {number} alpha 0 to 255, of pixels inside
 * @returns {Uint8ClampedArray} RGBA
 */
export function tinted(mask, width, [red, green, blue], alpha) {
  const rgba = new Uint8ClampedArray(mask.length * 4);
  for (let index = 0; index < mask.length; index++) {
    if (!mask[index]) continue;
    const column = index % width;
    const edge =
      !mask[index - width] || !mask[index + width] || column === 0 || column === width - 1 || !mask[index - 1] || !mask[index + 1];
    rgba.set([red, green, blue, edge ? 255 : alpha], index * 4);
  }
  return rgba;
}

/**
 * Whether a pixel is inside.
 * @param {Uint8Array} mask
 * @param {number} width
 * @param {number} x
 * @param {number} y
 */
export function isInside(mask, width, x, y) {
  return x >= 0 && x < width && mask[Math.floor(y) * width + Math.floor(x)] === 1;
}
