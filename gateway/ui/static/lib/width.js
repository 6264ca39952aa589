/** Whether the page is wide, for what styles alone cannot decide. */

import { createStore, useStore } from "./store.js";

const query = matchMedia("(min-width: 761px)");
const wide = createStore(query.matches);
query.addEventListener("change", () => wide.set(query.matches));

/** False on a phone; followed. */
export function useWide() {
  return useStore(wide);
}
