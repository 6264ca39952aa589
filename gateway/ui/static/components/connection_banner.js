/** Says that what is shown is out of date, while there is no connection. */

import { html } from "../lib/view.js";
import { connection } from "../lib/live.js";
import { useStore } from "../lib/store.js";

export function ConnectionBanner() {
  const { state, error } = useStore(connection);
  if (state !== "lost") return null;
  return html`<div class="connection-banner" role="status">
    <span>${error?.message ?? "The connection to Enginehouse was lost."} Trying again; what you see is from before.</span>
  </div>`;
}
