/** Pictures and recordings that the user chooses, as data URLs, which the API reads as they are. */

/** @typedef {{ dataUrl: string, name: string }} ChosenFile */

/**
 * @param {Blob & { name?: string }} blob
 * @returns {Promise<ChosenFile>}
 */
export function chosenFile(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ dataUrl: String(reader.result), name: blob.name ?? "file" });
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}

/**
 * The pictures of a drop or a paste.
 * @param {DataTransfer | null} transfer
 * @param {string} [kind]
 */
export function filesIn(transfer, kind = "image") {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith(`${kind}/`));
}

/**
 * A decoded picture, upright.
 * @param {string} source a URL
 * @returns {Promise<HTMLImageElement>}
 */
export function loadPicture(source) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("This browser cannot show the picture."));
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
