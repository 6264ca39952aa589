/** How long something that is shown has taken so far, from the fifth second on. Screen readers are spared the counting. */

import { html, useState } from "../../lib/view.js";
import { useNow } from "../../lib/clock.js";
import { duration } from "../../lib/format.js";

const FROM = 5;

export function Elapsed() {
  const now = useNow();
  const [start] = useState(() => Date.now() / 1000);
  const seconds = Math.floor(now - start);
  return seconds < FROM ? null : html`<span class="elapsed" aria-hidden="true">${seconds < 10 ? `${seconds} s` : duration(seconds)}</span>`;
}
