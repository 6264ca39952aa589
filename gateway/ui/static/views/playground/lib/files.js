/** Images and recordings that the user chooses, as data URLs, which the API reads as they are. */

import { createStore } from "../../../lib/store.js";

/** @typedef {{ dataUrl: string, name: string }} ChosenFile */

/** How many files are being read or made. Nothing is sent meanwhile, because it would go without them. */
export const reading = createStore(0);

/**
 * Count as reading until `work` is done.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function whileReading(work) {
  reading.update((count) => count + 1);
  try {
    return await work();
  } finally {
    reading.update((count) => count - 1);
  }
}

/**
 * @param {Blob & { name?: string }} blob
 * @returns {Promise<ChosenFile>}
 */
export function chosenFile(blob) {
  const read = (resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ dataUrl: String(reader.result), name: blob.name ?? "file" });
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  };
  return whileReading(() => new Promise(read));
}

/** The kinds of files whose type browsers do not know. */
const BY_NAME = { image: /\.(heic|heif|avif|jxl|tiff?)$/i, audio: /\.(flac|opus|m4a|ogg|wav|mp3|mp4|webm|mkv)$/i };

/**
 * The images, or the recordings, of a drop or a paste.
 * @param {DataTransfer | null} transfer
 * @param {"image" | "audio"} [kind]
 * @throws {Error} if a file is of another kind
 */
export function filesIn(transfer, kind = "image") {
  const files = [...(transfer?.files ?? [])];
  const other = files.find((file) => !file.type.startsWith(`${kind}/`) && !isVideo(file, kind) && !BY_NAME[kind].test(file.name));
  if (other) throw new Error(`${other.name} is not ${kind === "image" ? "an image" : "a recording"}.`);
  return files;
}

/** Recordings may be videos, whose sound is read. */
function isVideo(file, kind) {
  return kind === "audio" && file.type.startsWith("video/");
}

/**
 * A decoded image, upright.
 * @param {string} source a URL
 * @returns {Promise<HTMLImageElement>}
 */
export function loadImage(source) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("This browser cannot show the image."));
    image.src = source;
  });
}

/**
 * Save something as a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** @param {HTMLCanvasElement} canvas @param {string} name @returns {Promise<ChosenFile>} a PNG file */
export function canvasFile(canvas, name) {
  return new Promise((resolve) => canvas.toBlob(async (blob) => resolve({ ...(await chosenFile(blob)), name }), "image/png"));
}
