/** The view Jobs. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Jobs() {
  return html`<h1>Jobs</h1><${EmptyState} title="Nothing here yet" />`;
}
