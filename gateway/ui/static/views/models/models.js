/** The view Models. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Models() {
  return html`<h1>Models</h1><${EmptyState} title="Nothing here yet" />`;
}
