/** The whole page: the key prompt, or the navigation and the view that the address names. */

import { html, useEffect } from "../lib/view.js";
import { linkTo, navigate, useRoute } from "../lib/router.js";
import { session, signIn, signOut } from "../lib/session.js";
import { useStore } from "../lib/store.js";
import { theme } from "../lib/theme.js";
import { views } from "../views.js";
import { ConnectionBanner } from "./connection_banner.js";
import { Confirmation, openDialogs } from "./dialog.js";
import { ErrorBox } from "./error_box.js";
import { Icon } from "./icons.js";
import { KeyPrompt } from "./key_prompt.js";
import { Toasts } from "./toasts.js";
import { ViewLoader } from "./view_loader.js";

export function App() {
  const { state, error } = useStore(session);
  if (state === "locked") return html`<${KeyPrompt} />`;
  if (state === "asking") {
    return html`<main class="starting">
      <h1>Enginehouse</h1>
      ${error ? html`<${ErrorBox} error=${error} onRetry=${signIn} />` : html`<p class="muted">Connecting …</p>`}
    </main>`;
  }
  return html`<${Shell} />`;
}

function Shell() {
  const route = useRoute();
  const hasDialog = useStore(openDialogs, (list) => list.length > 0);
  const { admin } = useStore(session);
  const allowed = views.filter((view) => admin || !view.admin);
  const current = allowed.find((view) => view.id === route.view) ?? allowed[0];
  useEffect(() => {
    if (route.view !== current.id) navigate(linkTo(current.id), { replace: true });
    document.title = `${current.title} · Enginehouse`;
    document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [route.view, current.id]);
  return html`<div class="shell">
    <a class="skip-link" href="#content" onClick=${skip}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href=${linkTo(allowed[0].id)}><${Brand} />Enginehouse</a>
      <nav aria-label="Views">
        ${allowed.map(
          (view) => html`<a key=${view.id} href=${linkTo(view.id)} aria-current=${view === current ? "page" : undefined}>
            <${Icon} name=${view.id} />${view.title}
          </a>`,
        )}
      </nav>
      <${Footer} />
    </header>
    <main id="content" tabindex="-1"><${ConnectionBanner} /><${ViewLoader} key=${current.id} view=${current} route=${route} /></main>
    <${Confirmation} />
    ${!hasDialog && html`<${Toasts} />`}
  </div>`;
}

function skip(event) {
  event.preventDefault(); // the address is the route
  document.getElementById("content").focus();
}

function Brand() {
  return html`<svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true">
    <path d="M5 27V12l7 5v-5l7 5V5h5v12l4 10z" />
  </svg>`;
}

const THEMES = ["system", "light", "dark"];

function Footer() {
  const { name } = useStore(session);
  const chosen = useStore(theme);
  const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
  return html`<div class="bar-footer">
    <button class="button quiet" onClick=${() => theme.set(next)} title="Colours: ${chosen}">
      <${Icon} name=${chosen} /><span class="bar-label">Colours: ${chosen}</span>
    </button>
    ${name !== null &&
    html`<button class="button quiet" onClick=${signOut} title="Forget the key ${name}">
      <${Icon} name="leave" /><span class="bar-label">Forget key ${name}</span>
    </button>`}
  </div>`;
}
