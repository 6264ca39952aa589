/** Images by file, drop, paste, camera, or the task's example. */

import { html, useId, useRef, useState } from "../../../lib/view.js";
import { attempt } from "../../../components/toasts.js";
import { chosenFile, filesIn } from "../lib/files.js";
import { Camera } from "./camera.js";
import { Thumbnails } from "./thumbnails.js";
import { usePaste } from "./use_paste.js";

/**
 * @param {{ label: string, value: import("../lib/files.js").ChosenFile[], several?: boolean, example?: object | null,
 *   onInput: (files: import("../lib/files.js").ChosenFile[]) => void, compact?: boolean }} props
 */
export function ImageInput({ label, value, several, example, onInput, compact }) {
  const id = useId();
  const [over, setOver] = useState(false);
  const [camera, setCamera] = useState(false);
  const zone = useRef(null);
  const latest = useRef(value);
  latest.current = value;
  const add = (blobs) =>
    attempt(async () => {
      const files = await Promise.all(blobs.map(chosenFile));
      const own = latest.current.filter((file) => file !== example); // others may have come meanwhile
      if (files.length) onInput(several ? [...own, ...files] : files.slice(-1));
    });
  usePaste(zone, add);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    attempt(async () => add(filesIn(event.dataTransfer)));
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <div ref=${zone} class="drop-zone" data-over=${over} onDragOver=${(event) => (event.preventDefault(), setOver(true))}
      onDragLeave=${() => setOver(false)} onDrop=${drop}>
      ${!compact && html`<${Thumbnails} files=${value} onInput=${onInput} />`}
      <div class="row">
        <label class="button small file-button">Choose${several ? " images" : " an image"}
          <input id=${id} type="file" accept="image/*" multiple=${several} class="visually-hidden"
            onChange=${(event) => (add([...event.currentTarget.files]), (event.currentTarget.value = ""))} />
        </label>
        <button type="button" class="button small" onClick=${() => setCamera(true)}>Camera</button>
        ${example && html`<button type="button" class="button small quiet" onClick=${() => onInput([example])}>Example</button>`}
      </div>
      <small class="muted">or drop it here, or paste it</small>
    </div>
    ${camera && html`<${Camera} onClose=${() => setCamera(false)} onPhoto=${(blob) => add([blob])} />`}
  </div>`;
}
