/** A recording by file, drop, or the microphone. */

import { html, useEffect, useId, useMemo, useRef, useState } from "../../../lib/view.js";
import { attempt } from "../../../components/toasts.js";
import { bytesOf } from "../lib/arrays.js";
import { chosenFile, filesIn, whileReading } from "../lib/files.js";
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

const MICROPHONE_LABELS = { off: "Record", starting: "Starting the microphone …", recording: "Stop recording" };

/** A button that records while it is pressed in. Pressed while the microphone starts, it gives up. */
export function Microphone({ onFile }) {
  const current = useRef(null); // the promise of what ends the recording
  const [state, setState] = useState("off");
  const leave = () => {
    current.current?.then((end) => end()).catch(() => {});
    current.current = null;
  };
  useEffect(() => leave, []); // the microphone is off once this is gone
  const giveUp = () => {
    leave();
    setState("off");
  };
  const start = async () => {
    setState("starting");
    const mine = (current.current = record());
    try {
      await mine;
    } catch (error) {
      if (current.current !== mine) return; // given up before the browser asked
      giveUp();
      throw new Error(withoutDevice("microphone", error));
    }
    if (current.current === mine) setState("recording");
  };
  const finish = async () => {
    const recorded = current.current;
    current.current = null;
    setState("off");
    await whileReading(async () => onFile(await (await recorded)()));
  };
  const toggle = () => attempt(!current.current ? start : state === "recording" ? finish : giveUp);
  return html`<button type="button" class="button small" aria-pressed=${state === "recording"} onClick=${toggle}>
    ${MICROPHONE_LABELS[state]}
  </button>`;
}
