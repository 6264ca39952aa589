/** The view Keys. */

import { html } from "../../lib/view.js";
import { EmptyState } from "../../components/empty_state.js";

export default function Keys() {
  return html`<h1>Keys</h1><${EmptyState} title="Nothing here yet" />`;
}
