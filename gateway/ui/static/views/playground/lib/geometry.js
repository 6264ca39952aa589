/** Where the pointer is in an image, and the boxes that it draws. */

/**
 * A place on the screen as pixels of the image that an element shows whole.
 * @param {{ clientX: number, clientY: number }} pointer
 * @param {{ left: number, top: number, width: number, height: number }} bounds of the element
 * @param {{ width: number, height: number }} image
 * @returns {[number, number]}
 */
export function placeIn(pointer, bounds, image) {
  const x = ((pointer.clientX - bounds.left) / bounds.width) * image.width;
  const y = ((pointer.clientY - bounds.top) / bounds.height) * image.height;
  return [clamp(x, image.width), clamp(y, image.height)];
}

function clamp(value, end) {
  return Math.round(Math.min(Math.max(value, 0), end) * 10) / 10;
}

/**
 * The box between two corners: top left, bottom right.
 * @param {[number, number]} one
 * @param {[number, number]} other
 * @returns {[number, number, number, number]}
 */
export function boxBetween(one, other) {
  return [Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.max(one[0], other[0]), Math.max(one[1], other[1])];
}

/** Whether a box is large enough to be meant as one, and not as a point. */
export function isBox([x0, y0, x1, y1], least = 4) {
  return x1 - x0 >= least && y1 - y0 >= least;
}
