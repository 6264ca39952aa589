/** The view Configuration. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Configuration() {
  return html`<h1>Configuration</h1><${EmptyState} title="Nothing here yet" />`;
}
