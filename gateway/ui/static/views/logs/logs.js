/** The view Logs. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Logs() {
  return html`<h1>Logs</h1><${EmptyState} title="Nothing here yet" />`;
}
