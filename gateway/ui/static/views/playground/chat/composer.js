/** Where the next message is written: text, and images by file, drop, paste or camera. */

import { html, useRef, useState } from "../../../lib/view.js";
import { attempt } from "../../../components/toasts.js";
import { useStore } from "../../../lib/store.js";
import { chosenFile, filesIn, reading } from "../lib/files.js";
import { Camera } from "../inputs/camera.js";
import { Thumbnails } from "../inputs/thumbnails.js";
import { usePaste } from "../inputs/use_paste.js";

/** @param {{ busy: boolean, onSend: (text: string, images: any[]) => void, onStop: () => void }} props */
export function Composer({ busy, onSend, onStop }) {
  const [text, setText] = useState("");
  const [files, setFiles] = useState([]);
  const [camera, setCamera] = useState(false);
  const input = useRef(null);
  const form = useRef(null);
  const isReading = useStore(reading, (count) => count > 0);
  const add = (blobs) => attempt(async () => {
    const chosen = await Promise.all(blobs.map(chosenFile));
    setFiles((current) => [...current, ...chosen]);
  });
  usePaste(form, add);
  const send = (event) => {
    event?.preventDefault();
    if (busy || isReading || (!text.trim() && !files.length)) return;
    onSend(text, files);
    setText("");
    setFiles([]);
    input.current?.focus();
  };
  const onKey = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && send(event);
  const drop = (event) => {
    event.preventDefault();
    attempt(async () => add(filesIn(event.dataTransfer)));
  };
  return html`<form ref=${form} class="composer card" onSubmit=${send} onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <${Thumbnails} files=${files} onInput=${setFiles} />
    <textarea ref=${input} aria-label="Message" rows="2" placeholder="Write a message. Shift+Enter begins a new line." value=${text}
      onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${onKey}></textarea>
    <div class="row spread">
      <div class="row">
        <label class="button small file-button">Add images
          <input type="file" accept="image/*" multiple class="visually-hidden" onChange=${(event) => (add([...event.currentTarget.files]), (event.currentTarget.value = ""))} />
        </label>
        <button type="button" class="button small" onClick=${() => setCamera(true)}>Camera</button>
      </div>
      ${busy
        ? html`<button type="button" class="button" onClick=${onStop}>Stop</button>`
        : html`<button type="submit" class="button primary" disabled=${isReading}>Send</button>`}
    </div>
    ${camera && html`<${Camera} onClose=${() => setCamera(false)} onPhoto=${(blob) => add([blob])} />`}
  </form>`;
}
