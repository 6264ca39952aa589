/** Records from the microphone, as a WAV file: every engine reads it, whatever the browser records in. */

import { chosenFile } from "./files.js";

const RATE = 16000;
const PIECE = 250; // milliseconds

/**
 * Begin to record. Resolves once the microphone has given sound: a recording that ends earlier would be empty.
 * @returns {Promise<() => Promise<import("./files.js").ChosenFile>>} ends the recording and gives its file
 */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  // Both are listened to from the start: a recorder also stops by itself, when its microphone is unplugged.
  const stopped = new Promise((resolve) => (recorder.onstop = resolve));
  const heard = new Promise((resolve) => {
    recorder.ondataavailable = ({ data }) => {
      if (data.size) resolve(pieces.push(data));
    };
  });
  recorder.start(PIECE);
  await Promise.race([heard, stopped]);
  return async () => {
    recorder.stop(); // nothing happens if it has stopped
    await stopped;
    for (const track of stream.getTracks()) track.stop();
    if (!pieces.length) throw new Error("The microphone gave no sound. Connect it again, or choose a file.");
    const wav = await asWav(new Blob(pieces, { type: recorder.mimeType }));
    return { ...(await chosenFile(wav)), name: "recording.wav" };
  };
}

/**
 * Why there is no camera or microphone.
 * @param {"camera" | "microphone"} device
 * @param {Error} error that of `getUserMedia`; without HTTPS there is no such function
 */
export function withoutDevice(device, error) {
  if (error.name === "NotAllowedError") return `The browser does not let this page use the ${device}. Allow it at the address of the page.`;
  if (error.name === "NotFoundError") return `This computer has no ${device}.`;
  if (error.name === "NotReadableError") return `Another program uses the ${device}.`;
  return `The browser lets pages use the ${device} over HTTPS and on localhost only.`;
}

/** @param {Blob} blob a recording of any format that the browser decodes */
async function asWav(blob) {
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const recorded = await decoder.decodeAudioData(await blob.arrayBuffer());
  const mono = new OfflineAudioContext(1, Math.max(1, recorded.length), RATE);
  const source = mono.createBufferSource();
  source.buffer = recorded;
  source.connect(mono.destination);
  source.start();
  const rendered = await mono.startRendering();
  return new Blob([wavOf(rendered.getChannelData(0), RATE)], { type: "audio/wav" });
}

/**
 * A WAV file of 16 bits (RIFF, PCM).
 * @param {Float32Array} samples -1 to 1
 * @param {number} rate
 * @returns {Uint8Array}
 */
export function wavOf(samples, rate) {
  const bytes = new Uint8Array(44 + samples.length * 2);
  const view = new DataView(bytes.buffer);
  const text = (offset, word) => [...word].forEach((letter, index) => view.setUint8(offset + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, bytes.length - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, index) => view.setInt16(44 + index * 2, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true));
  return bytes;
}
