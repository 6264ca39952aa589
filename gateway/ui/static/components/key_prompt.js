/** Asks for the API key, which stays in this tab. */

import { html, useState } from "../lib/view.js";
import { session, signInWith } from "../lib/session.js";
import { useStore } from "../lib/store.js";
import { ErrorBox } from "./error_box.js";
import { TextField } from "./fields.js";

export function KeyPrompt() {
  const { error } = useStore(session);
  const [value, setValue] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (value.trim()) signInWith(value);
  };
  return html`<main class="key-prompt">
    <form class="card stack" onSubmit=${submit}>
      <h1>Enginehouse</h1>
      <p class="muted">This server asks for an API key. It stays in this tab, and is forgotten when the tab is closed.</p>
      <${TextField} label="API key" type="password" autocomplete="current-password" focused value=${value}
        onInput=${setValue} />
      <${ErrorBox} error=${error} />
      <button class="button primary" type="submit">Open</button>
    </form>
  </main>`;
}
