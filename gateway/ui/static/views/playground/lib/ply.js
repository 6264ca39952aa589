/** Point clouds as PLY files: binary, little-endian, with x, y, z as float32 and red, green, blue as bytes. */

const SIZES = { float: 4, float32: 4, double: 8, float64: 8, uchar: 1, uint8: 1, char: 1, short: 2, ushort: 2, int: 4, uint: 4 };
const END = "end_header\n";

/**
 * The points of a file.
 * @param {Uint8Array} bytes
 * @returns {{ positions: Float32Array, colours: Uint8Array | null }}
 */
export function readPly(bytes) {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
  const start = head.indexOf(END);
  if (!head.startsWith("ply") || start < 0 || !head.includes("format binary_little_endian")) {
    throw new Error("This is not a binary little-endian PLY file.");
  }
  const count = Number(/element vertex (\d+)/.exec(head)?.[1] ?? 0);
  const offsets = {};
  let stride = 0;
  for (const [, type, name] of head.slice(0, start).matchAll(/property (\w+) (\w+)/g)) {
    offsets[name] = stride;
    stride += SIZES[type] ?? 4;
  }
  return pointsIn(new DataView(bytes.buffer, bytes.byteOffset + start + END.length), count, stride, offsets);
}

function pointsIn(view, count, stride, offsets) {
  const positions = new Float32Array(count * 3);
  const colours = "red" in offsets ? new Uint8Array(count * 3) : null;
  for (let index = 0; index < count; index++) {
    ["x", "y", "z"].forEach((axis, part) => {
      positions[index * 3 + part] = view.getFloat32(index * stride + offsets[axis], true);
    });
    if (colours) {
      ["red", "green", "blue"].forEach((name, part) => {
        colours[index * 3 + part] = view.getUint8(index * stride + offsets[name]);
      });
    }
  }
  return { positions, colours };
}

/**
 * A file with these points.
 * @param {Float32Array} positions
 * @param {Uint8Array | null} colours
 * @returns {Uint8Array}
 */
export function writePly(positions, colours) {
  const count = positions.length / 3;
  const axes = ["x", "y", "z"].map((axis) => `property float ${axis}\n`).join("");
  const tints = colours ? ["red", "green", "blue"].map((name) => `property uchar ${name}\n`).join("") : "";
  const head = new TextEncoder().encode(
    `ply\nformat binary_little_endian 1.0\nelement vertex ${count}\n${axes}${tints}${END}`,
  );
  const stride = colours ? 15 : 12;
  const bytes = new Uint8Array(head.length + count * stride);
  bytes.set(head);
  const view = new DataView(bytes.buffer, head.length);
  for (let index = 0; index < count; index++) {
    for (let part = 0; part < 3; part++) view.setFloat32(index * stride + part * 4, positions[index * 3 + part], true);
    if (colours) bytes.set(colours.subarray(index * 3, index * 3 + 3), head.length + index * stride + 12);
  }
  return bytes;
}
