/** A line as it is shown: what a terminal would act on is only ever a character. */

const COLOURS = /\x1b\[[0-9;]*m/g;
const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f]/g;
const HIDDEN = /[\u0080-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * A line in the list: without colours, and of a bar that was drawn again and again its last state.
 * @param {string} text
 */
export function asShown(text) {
  const states = text.split("\r").filter((state) => state.trim());
  return withControls((states.at(-1) ?? "").replace(COLOURS, "")) || "\u00a0";
}

/**
 * A line with a visible sign for every control character, and for those that change the direction of text.
 * @param {string} text
 */
export function withControls(text) {
  return text
    .replace(CONTROLS, (sign) => (sign === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + sign.charCodeAt(0))))
    .replace(HIDDEN, (sign) => `\u27e8U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}

/**
 * How serious a line is: `error`, `warning` or nothing.
 * @param {string} text
 */
export function levelOf(text) {
  if (/\b(ERROR|CRITICAL|FATAL|Traceback)\b/.test(text)) return "error";
  return /\bWARN(ING)?\b/.test(text) ? "warning" : undefined;
}
