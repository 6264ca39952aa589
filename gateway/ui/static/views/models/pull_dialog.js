/** Downloads a model that is not in the catalogue, by its name at the hub. */

import { html, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";
import { TextField } from "../../components/fields.js";
import { toast } from "../../components/toasts.js";

/** @param {{ onClose: () => void }} props */
export function PullDialog({ onClose }) {
  const [name, setName] = useState("");
  const [revision, setRevision] = useState("");
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await requestJson("api/models/download", { json: { model: name.trim(), ...(revision.trim() && { revision: revision.trim() }) } });
      toast(`${name.trim()} is being downloaded.`);
      onClose();
    } catch (failure) {
      setError(failure);
    }
  };
  return html`<${Dialog} title="Pull from the hub" onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${TextField} label="Model" placeholder="owner/name" required focused value=${name} onInput=${setName} />
      <${TextField} label="Revision" placeholder="main" value=${revision} onInput=${setRevision} />
      <${ErrorBox} error=${error} />
      <div class="row end">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button class="button primary">Pull</button>
      </div>
    </form>
  </${Dialog}>`;
}
