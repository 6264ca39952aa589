/** What this tab may do: the server says it of the tab's key, or that a key is needed. */

import { key, refusals, requestJson } from "./api.js";
import { createStore } from "./store.js";

/**
 * `asking`: the server was not asked yet, or does not answer; `locked`: a key is needed; `open`: requests are accepted.
 * @typedef {{ state: "asking" | "locked" | "open", admin: boolean, name: string | null, error: Error | null }} Session
 */

/** @type {import("./store.js").Store<Session>} */
export const session = createStore({ state: "asking", admin: false, name: null, error: null });

const RETRY = 2000;
let retry = 0;

/** Ask the server what the key of this tab may do; again and again, while it does not answer. */
export async function signIn() {
  clearTimeout(retry);
  try {
    const access = await requestJson("v1/system/access");
    session.set({ state: "open", admin: access.admin, name: access.key, error: null });
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      session.set({ state: "locked", admin: false, name: null, error: key.get() || error.status === 403 ? error : null });
    } else {
      session.update((current) => ({ ...current, error }));
      retry = setTimeout(signIn, RETRY);
    }
  }
}

/**
 * Use another key from now on.
 * @param {string} value
 */
export function signInWith(value) {
  key.set(value.trim());
  return signIn();
}

/** Forget the key of this tab. */
export function signOut() {
  key.set("");
  return signIn();
}

// A key that the server refuses was revoked, or replaced by a change of the configuration. What needs a key although
// reading needs none, such as changes on the server's own machine, asks for one too.
refusals.subscribe(() => {
  if (session.get().state === "open") {
    session.set({ state: "locked", admin: false, name: null, error: null });
  }
});
