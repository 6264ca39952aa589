/** Arrays in answers: base64 of little-endian float32, or lists of numbers; and how similar vectors are. */

/** @param {string} text base64 @returns {Uint8Array} */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/**
 * @param {string | number[] | number[][] | number[][][]} value
 * @returns {Float32Array}
 */
export function floatsOf(value) {
  if (typeof value !== "string") return Float32Array.from(value.flat(Infinity));
  const bytes = bytesOf(value);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 2 }, (_, index) => view.getFloat32(index * 4, true));
}

/**
 * The similarities of all pairs of vectors, from -1 to 1.
 * @param {ArrayLike<number>[]} vectors
 * @returns {number[][]}
 */
export function similarities(vectors) {
  const lengths = vectors.map((vector) => Math.sqrt(dot(vector, vector)) || 1);
  return vectors.map((one, row) => vectors.map((other, column) => dot(one, other) / lengths[row] / lengths[column]));
}

/**
 * The similarity of each vector of a grid to one of them.
 * @param {Float32Array} grid vectors one after the other
 * @param {number} dimensions
 * @param {number} chosen index of a vector
 * @returns {Float32Array}
 */
export function similarTo(grid, dimensions, chosen) {
  const vectors = Array.from({ length: grid.length / dimensions }, (_, index) =>
    grid.subarray(index * dimensions, (index + 1) * dimensions),
  );
  const length = (vector) => Math.sqrt(dot(vector, vector)) || 1;
  const own = length(vectors[chosen]);
  return Float32Array.from(vectors, (vector) => dot(vector, vectors[chosen]) / own / length(vector));
}

function dot(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index++) sum += one[index] * other[index];
  return sum;
}

/** The least and the greatest finite value. @param {ArrayLike<number>} values @returns {[number, number]} */
export function limitsOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) continue;
    low = Math.min(low, values[index]);
    high = Math.max(high, values[index]);
  }
  return low <= high ? [low, high] : [0, 0];
}
