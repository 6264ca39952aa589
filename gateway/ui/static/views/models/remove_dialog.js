/** Asks what of a model is removed: its files, its entry in config.yaml, or both. */

import { html, useState } from "../../lib/view.js";
import { createStore, useStore } from "../../lib/store.js";
import { bytes } from "../../lib/format.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";
import { CheckField } from "../../components/fields.js";
import { toast } from "../../components/toasts.js";
import { hasRemovableFiles, remove } from "./actions.js";

const asked = createStore(null);

/** @param {object} model @param {() => void} onChange called when something was removed */
export function removeDialog(model, onChange) {
  asked.set({ model, onChange });
}

/** The dialog, while there is a question; the view has one. */
export function Removal() {
  const question = useStore(asked);
  return question && html`<${Question} ...${question} />`;
}

function Question({ model, onChange }) {
  const removable = hasRemovableFiles(model);
  const [files, setFiles] = useState(removable);
  const [entry, setEntry] = useState(Boolean(model.configured) && !removable);
  const [error, setError] = useState(null);
  const close = () => asked.set(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      const removed = await remove(model, { files, entry });
      toast(removed.freed_bytes ? `${bytes(removed.freed_bytes)} are free again.` : `${model.id} was removed.`);
      close();
      onChange();
    } catch (failure) {
      setError(failure);
    }
  };
  return html`<${Dialog} title="Remove ${model.id}" onClose=${close}>
    <form class="stack" onSubmit=${submit}>
      ${removable && html`<${CheckField} label="Its files, ${bytes(model.disk_bytes)}" checked=${files} onInput=${setFiles} />`}
      ${model.configured && html`<${CheckField} label="Its entry in config.yaml" checked=${entry} onInput=${setEntry} />`}
      <${ErrorBox} error=${error} />
      <div class="row end">
        <button type="button" class="button" onClick=${close}>Cancel</button>
        <button class="button danger" disabled=${!files && !entry}>Remove</button>
      </div>
    </form>
  </${Dialog}>`;
}
