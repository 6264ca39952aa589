/** The view Playground. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Playground() {
  return html`<h1>Playground</h1><${EmptyState} title="Nothing here yet" />`;
}
