/** Numbers, sizes and times as people read them. */

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/**
 * A size such as `5.4 GiB`, as `enginehouse status` writes it.
 * @param {number | null | undefined} value bytes
 */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const exponent = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), UNITS.length - 1);
  const amount = value / 1024 ** exponent;
  return `${exponent === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${UNITS[exponent]}`;
}

/**
 * A time such as `850 ms`, `4.2 s`, `3 min 20 s` or `2 h 5 min`.
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86400) return joined(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return joined(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

function joined(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/**
 * A number with separators, and at most `digits` places after the point.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return formatOf(digits).format(value);
}

/**
 * A score such as `0.90`, with exactly `digits` places after the point, so that those below each other compare.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function score(value, digits = 2) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
}

const formats = new Map();

function formatOf(digits) {
  if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat("en", { maximumFractionDigits: digits }));
  return formats.get(digits);
}

/**
 * A place in a recording such as `0:04.50` or `1:02:03.00`.
 * @param {number} seconds
 */
export function timecode(seconds) {
  const hundredths = Math.round(seconds * 100);
  const minutes = Math.floor(hundredths / 6000);
  const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${padded(minutes % 60)}:${rest}`;
}

/**
 * The time of day, with the date if it is not today's. By hand, because the browser's own formatting is slow in long lists.
 * @param {number} time seconds since 1970
 */
export function clock(time) {
  const date = new Date(time * 1000);
  const clockTime = [date.getHours(), date.getMinutes(), date.getSeconds()].map(padded).join(":");
  const age = Date.now() / 1000 - time;
  const isToday = age < 86400 && date.getDate() === new Date().getDate();
  return isToday ? clockTime : `${date.getFullYear()}-${padded(date.getMonth() + 1)}-${padded(date.getDate())} ${clockTime}`;
}

function padded(value) {
  return String(value).padStart(2, "0");
}

/**
 * `1 model`, `2 models`.
 * @param {number} count
 * @param {string} singular
 * @param {string} [plural]
 */
export function counted(count, singular, plural = `${singular}s`) {
  return `${number(count)} ${count === 1 ? singular : plural}`;
}
