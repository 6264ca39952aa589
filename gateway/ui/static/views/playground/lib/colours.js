/** Colours for labels, and for values such as depth. */

const LABELS = [
  [20, 184, 166], [245, 158, 11], [99, 102, 241], [236, 72, 153], [132, 204, 22], [14, 165, 233], [249, 115, 22],
  [168, 85, 247], [34, 197, 94], [239, 68, 68], [234, 179, 8], [6, 182, 212],
];

/**
 * The colour of the label or index: the same label always has the same colour in a list.
 * @param {number} index
 * @returns {[number, number, number]}
 */
export function labelColour(index) {
  return LABELS[((index % LABELS.length) + LABELS.length) % LABELS.length];
}

/** @param {[number, number, number]} colour @param {number} [alpha] */
export function css([red, green, blue], alpha = 1) {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/**
 * Google's Turbo colour map, as its authors' polynomial (A. Mikhailov, 2019): blue at 0, red at 1.
 * @param {number} value 0 to 1
 * @returns {[number, number, number]}
 */
export function turbo(value) {
  const x = Math.min(1, Math.max(0, value));
  const at = (...factors) => factors.reduceRight((sum, factor) => sum * x + factor, 0);
  return [
    at(0.13572138, 4.6153926, -42.66032258, 132.13108234, -152.94239396, 59.28637943),
    at(0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604),
    at(0.1066733, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973),
  ].map((part) => Math.round(Math.min(1, Math.max(0, part)) * 255));
}

/**
 * Values as colours between their limits.
 * @param {ArrayLike<number>} values
 * @param {number} low
 * @param {number} high
 * @param {boolean} [reversed]
 * @returns {Uint8ClampedArray} RGBA; values that are not finite are transparent
 */
export function coloured(values, low, high, reversed = false) {
  const table = Array.from({ length: 256 }, (_, index) => turbo((reversed ? 255 - index : index) / 255));
  const scale = high > low ? 255 / (high - low) : 0;
  const rgba = new Uint8ClampedArray(values.length * 4);
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) continue;
    const level = Math.min(255, Math.max(0, Math.round((values[index] - low) * scale)));
    const [red, green, blue] = table[level];
    rgba[index * 4] = red;
    rgba[index * 4 + 1] = green;
    rgba[index * 4 + 2] = blue;
    rgba[index * 4 + 3] = 255;
  }
  return rgba;
}
