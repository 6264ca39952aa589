/** The address names the view and what it shows: `#/models/ocr?task=chat`. */

import { createStore, useStore } from "./store.js";

/** @typedef {{ view: string, path: string[], query: Record<string, string> }} Route */

/** @type {import("./store.js").Store<Route>} */
const route = createStore(parse(location.hash));

addEventListener("hashchange", () => route.set(parse(location.hash)));

/** The current route, followed. */
export function useRoute() {
  return useStore(route);
}

/**
 * The link to a view. Empty values of the query are left out.
 * @param {string} view
 * @param {string[]} [path]
 * @param {Record<string, string | undefined>} [query]
 */
export function linkTo(view, path = [], query = {}) {
  const parts = [view, ...path].map(encodeURIComponent).join("/");
  const fields = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return `#/${parts}${fields.size ? `?${fields}` : ""}`;
}

/**
 * Go to a view; with `replace`, the browser's Back does not return to the present route.
 * @param {string} link as `linkTo` makes it
 * @param {{ replace?: boolean }} [options]
 */
export function navigate(link, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", link);
    route.set(parse(link));
  } else {
    location.hash = link;
  }
}

function parse(hash) {
  const [parts, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...path] = parts.split("/").map(decoded);
  return { view, path, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
