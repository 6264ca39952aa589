/** Pictures by file, drop, paste, camera, or the task's example. */

import { html, useEffect, useId, useRef, useState } from "../../../lib/view.js";
import { attempt } from "../../../components/toasts.js";
import { Dialog } from "../../../components/dialog.js";
import { chosenFile, filesIn } from "../lib/files.js";

/**
 * @param {{ label: string, value: import("../lib/files.js").ChosenFile[], several?: boolean, example?: object | null,
 *   onInput: (files: import("../lib/files.js").ChosenFile[]) => void, compact?: boolean }} props
 */
export function PictureInput({ label, value, several, example, onInput, compact }) {
  const id = useId();
  const [over, setOver] = useState(false);
  const [camera, setCamera] = useState(false);
  const add = (blobs) =>
    attempt(async () => {
      const files = await Promise.all(blobs.map(chosenFile));
      const own = value.filter((file) => file !== example);
      if (files.length) onInput(several ? [...own, ...files] : files.slice(-1));
    });
  usePaste(add);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    add(filesIn(event.dataTransfer));
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <div class="drop-zone" data-over=${over} onDragOver=${(event) => (event.preventDefault(), setOver(true))}
      onDragLeave=${() => setOver(false)} onDrop=${drop}>
      ${value.length > 0 && !compact && html`<${Thumbnails} files=${value} onInput=${onInput} />`}
      <div class="row">
        <label class="button small file-button">Choose${several ? " pictures" : " a picture"}
          <input id=${id} type="file" accept="image/*" multiple=${several} class="visually-hidden"
            onChange=${(event) => (add([...event.currentTarget.files]), (event.currentTarget.value = ""))} />
        </label>
        <button type="button" class="button small" onClick=${() => setCamera(true)}>Camera</button>
        ${example && html`<button type="button" class="button small quiet" onClick=${() => onInput([example])}>Example</button>`}
      </div>
      <small class="muted">or drop it here, or paste it</small>
    </div>
    ${camera && html`<${Camera} onClose=${() => setCamera(false)} onPicture=${(blob) => add([blob])} />`}
  </div>`;
}

/** Pictures that are pasted anywhere on the page. @param {(blobs: Blob[]) => void} add */
export function usePaste(add) {
  const latest = useRef(add);
  latest.current = add;
  useEffect(() => {
    const paste = (event) => {
      const files = filesIn(event.clipboardData);
      if (files.length) latest.current(files);
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, []);
}

function Thumbnails({ files, onInput }) {
  return html`<ul class="plain thumbnails">
    ${files.map(
      (file, index) => html`<li key=${index}>
        <img src=${file.dataUrl} alt=${file.name} />
        <button type="button" class="button small icon-only" aria-label="Remove ${file.name}"
          onClick=${() => onInput(files.filter((_, other) => other !== index))}>×</button>
      </li>`,
    )}
  </ul>`;
}

/** The camera's picture, and a button that takes it. */
export function Camera({ onClose, onPicture }) {
  const video = useRef(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let stream = null;
    let closed = false;
    const open = async () => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (closed) stop(stream);
      else video.current.srcObject = stream;
    };
    open().catch(() => setError("The browser gives no camera to this page. It does so over HTTPS and on localhost only."));
    return () => {
      closed = true;
      if (stream) stop(stream);
    };
  }, []);
  const take = () => {
    const { videoWidth, videoHeight } = video.current;
    const canvas = Object.assign(document.createElement("canvas"), { width: videoWidth, height: videoHeight });
    canvas.getContext("2d").drawImage(video.current, 0, 0);
    canvas.toBlob((blob) => {
      onPicture(Object.assign(blob, { name: "camera.jpg" }));
      onClose();
    }, "image/jpeg", 0.92);
  };
  return html`<${Dialog} title="Camera" onClose=${onClose}>
    <div class="stack">
      ${error ? html`<p>${error}</p>` : html`<video ref=${video} class="camera" autoplay playsinline muted></video>`}
      <button type="button" class="button primary" disabled=${Boolean(error)} onClick=${take}>Take the picture</button>
    </div>
  </${Dialog}>`;
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}
