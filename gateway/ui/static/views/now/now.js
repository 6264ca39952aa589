/** The view Now. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Now() {
  return html`<h1>Now</h1><${EmptyState} title="Nothing here yet" />`;
}
