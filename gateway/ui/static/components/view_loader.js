/** Loads a view's module and its styles when the view is first opened. */

import { html, useEffect, useErrorBoundary, useState } from "../lib/view.js";
import { ROOT } from "../lib/api.js";
import { ErrorBox } from "./error_box.js";

/** @param {{ view: import("../views.js").View, route: import("../lib/router.js").Route }} props */
export function ViewLoader({ view, route }) {
  const [loaded, setLoaded] = useState({ component: null, error: null });
  const [crash, recover] = useErrorBoundary();
  const load = () => {
    setLoaded({ component: null, error: null });
    loadView(view.id).then(
      (component) => setLoaded({ component, error: null }),
      (error) => setLoaded({ component: null, error }),
    );
  };
  useEffect(load, [view.id]);
  if (crash) return html`<${ErrorBox} error=${crash} onRetry=${recover} />`;
  if (loaded.error) return html`<${ErrorBox} error=${loaded.error} onRetry=${load} />`;
  return loaded.component ? html`<${loaded.component} route=${route} />` : html`<p class="muted" role="status">Loading …</p>`;
}

async function loadView(id) {
  try {
    const [module] = await Promise.all([import(`../views/${id}/${id}.js`), loadStyles(id)]);
    return module.default;
  } catch (error) {
    await reloadIfReplaced();
    throw new Error(`The view ${id} cannot be loaded: ${error.message}`);
  }
}

function loadStyles(id) {
  const href = new URL(`../views/${id}/${id}.css`, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    link.onload = resolve;
    link.onerror = () => (link.remove(), reject(new Error("its styles are missing")));
    document.head.append(link);
  });
}

/** After an update of the server, the files of this page's version are gone: the page starts again with the new ones. */
async function reloadIfReplaced() {
  const answer = await fetch(new URL("ui", ROOT), { cache: "no-store" }).catch(() => null);
  const version = import.meta.url.split("/").at(-3);
  if (answer?.ok && !(await answer.text()).includes(version)) location.reload();
}
