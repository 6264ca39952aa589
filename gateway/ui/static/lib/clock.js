/** The time, for what counts down: components that use it render again every second. */

import { createStore, useStore } from "./store.js";

const now = createStore(Date.now() / 1000);
setInterval(() => document.visibilityState === "visible" && now.set(Date.now() / 1000), 1000);
document.addEventListener("visibilitychange", () => now.set(Date.now() / 1000));

/** Seconds since 1970, every second. */
export function useNow() {
  return useStore(now);
}
