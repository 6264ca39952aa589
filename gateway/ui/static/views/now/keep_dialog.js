/** Loads a model, and keeps it in memory for a time without requests. */

import { html, useState } from "../../lib/view.js";
import { Dialog } from "../../components/dialog.js";
import { SelectField } from "../../components/fields.js";
import { toast } from "../../components/toasts.js";
import { load } from "./actions.js";

const TIMES = [
  { value: "5m", label: "5 minutes" },
  { value: "30m", label: "30 minutes" },
  { value: "2h", label: "2 hours" },
  { value: "8h", label: "8 hours" },
  { value: "24h", label: "a day" },
  { value: "-1", label: "until memory is needed" },
];

/** @param {{ id: string, onClose: () => void }} props */
export function KeepDialog({ id, onClose }) {
  const [time, setTime] = useState("30m");
  const submit = async (event) => {
    event.preventDefault();
    const label = TIMES.find(({ value }) => value === time).label;
    if (await load(id, time === "-1" ? -1 : time)) toast(`${id} stays ${time === "-1" ? label : `for ${label} without requests`}.`);
    onClose();
  };
  return html`<${Dialog} title="Keep ${id}" onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <p>The model is loaded, if it is not, and stays for this time after its last request. A request for another model may
        still need its memory; pin the model to prevent that.</p>
      <${SelectField} label="Keep for" value=${time} options=${TIMES} onInput=${setTime} />
      <div class="row end">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button class="button primary">Keep</button>
      </div>
    </form>
  </${Dialog}>`;
}
