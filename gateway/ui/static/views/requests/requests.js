/** The view Requests. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Requests() {
  return html`<h1>Requests</h1><${EmptyState} title="Nothing here yet" />`;
}
