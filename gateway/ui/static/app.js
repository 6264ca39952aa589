/** Starts the page: the key first, then the view that the address names. */

import { html, render } from "./lib/view.js";
import { App } from "./components/app.js";
import { applyTheme } from "./lib/theme.js";
import { signIn } from "./lib/session.js";

applyTheme();
signIn();
render(html`<${App} />`, document.getElementById("app"));
