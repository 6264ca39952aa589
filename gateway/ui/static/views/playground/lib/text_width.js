/** How wide a label is, so that its background is no wider and covers no more of the image. */

let context = null;

/**
 * The width of a label in the page's font, in heights of its letters.
 * @param {string} text
 */
export function lettersWide(text) {
  if (!context) {
    context = document.createElement("canvas").getContext("2d");
    context.font = `600 100px ${getComputedStyle(document.body).fontFamily}`;
  }
  return context.measureText(text).width / 100;
}
