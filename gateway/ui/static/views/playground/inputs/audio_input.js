/** A recording by file, drop, or the microphone. */

import { html, useEffect, useId, useMemo, useRef, useState } from "../../../lib/view.js";
import { attempt } from "../../../components/toasts.js";
import { bytesOf } from "../lib/arrays.js";
import { chosenFile, filesIn } from "../lib/files.js";
import { record, withoutDevice } from "../lib/recorder.js";

/**
 * @param {{ label: string, value: import("../lib/files.js").ChosenFile[], example?: object | null,
 *   onInput: (files: import("../lib/files.js").ChosenFile[]) => void }} props
 */
export function AudioInput({ label, value, example, onInput }) {
  const id = useId();
  const choose = (blob) => attempt(async () => blob && onInput([await chosenFile(blob)]));
  const drop = (event) => {
    event.preventDefault();
    attempt(async () => choose(filesIn(event.dataTransfer, "audio")[0]));
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <div class="drop-zone" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
      ${value[0] && html`<${Player} file=${value[0]} />`}
      <div class="row">
        <label class="button small file-button">Choose a recording
          <input id=${id} type="file" accept="audio/*,video/*" class="visually-hidden"
            onChange=${(event) => (choose(event.currentTarget.files[0]), (event.currentTarget.value = ""))} />
        </label>
        <${Microphone} onFile=${(file) => onInput([file])} />
        ${example && html`<button type="button" class="button small quiet" onClick=${() => onInput([example])}>Example</button>`}
      </div>
      <small class="muted">or drop it here</small>
    </div>
  </div>`;
}

/** Plays a file: from a blob, because the page's policy allows no data URLs of sound. */
function Player({ file }) {
  const url = useMemo(() => {
    const [head, base64] = file.dataUrl.split(",");
    return URL.createObjectURL(new Blob([bytesOf(base64)], { type: head.slice(5).split(";")[0] }));
  }, [file]);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return html`<audio controls src=${url} aria-label=${file.name}></audio>`;
}

/** A button that records while it is pressed in. */
export function Microphone({ onFile }) {
  const finish = useRef(null);
  const [recording, setRecording] = useState(false);
  useEffect(() => () => finish.current?.().catch(() => {}), []); // the microphone is off once this is gone
  const toggle = () =>
    attempt(async () => {
      if (finish.current) {
        const end = finish.current;
        finish.current = null;
        setRecording(false);
        onFile(await end());
      } else {
        finish.current = await record().catch((error) => {
          throw new Error(withoutDevice("microphone", error));
        });
        setRecording(true);
      }
    });
  return html`<button type="button" class="button small" aria-pressed=${recording} onClick=${toggle}>
    ${recording ? "Stop recording" : "Record"}
  </button>`;
}
