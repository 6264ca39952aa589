/** A web page that was crawled: its title, text, links and screenshot. Nothing of it runs here. */

import { html } from "../../../lib/view.js";
import { duration } from "../../../lib/format.js";
import { labelOf } from "../lib/schema.js";
import { CopyButton } from "../request_code.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function CrawledPage({ outcome }) {
  const page = outcome.value;
  const facts = Object.entries(page.metadata ?? {}).filter(([, value]) => value);
  return html`
    <header><h3>${page.title || "Untitled page"}</h3>
      <p class="muted wrap-anywhere"><${SafeLink} url=${page.url} /> · status ${page.status} · ${duration(page.fetch_time_ms / 1000)}</p></header>
    ${facts.length > 0 && html`<dl class="page-facts">${facts.map(([name, value]) => html`<dt key=${name}>${labelOf(name)}</dt><dd>${String(value)}</dd>`)}</dl>`}
    ${page.screenshot_base64 && html`<img src="data:image/png;base64,${page.screenshot_base64}" alt="Screenshot of the page" class="screenshot" />`}
    <div class="answer-text pre-wrap page-text" tabindex="0" role="group" aria-label="Text of the page">${page.text || "The page has no text."}</div>
    <div class="row end"><${CopyButton} text=${page.text} label="Copy the text" /></div>
    ${page.links?.length > 0 &&
    html`<details><summary>${page.links.length} links</summary>
      <ul>${page.links.map((link, index) => html`<li key=${index} class="wrap-anywhere"><${SafeLink} url=${link.url} text=${link.text} /></li>`)}</ul>
    </details>`}`;
}

/** A link of another page: text only, unless it leads to a web page. */
function SafeLink({ url, text }) {
  if (!/^https?:\/\//i.test(url)) return html`<span>${text || url}</span>`;
  return html`<a href=${url} rel="noopener noreferrer" target="_blank">${text || url}</a>`;
}
