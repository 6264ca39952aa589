/** Copies text, and says whether that worked. */

import { toast } from "./toasts.js";

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser lets pages copy over HTTPS and on localhost only. Select the text instead.", "bad");
  }
}
