/** What was sent and answered, if the server captures it. */

import { html, useEffect, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { bytes } from "../../lib/format.js";

/** @param {{ id: string, isOver: boolean }} props */
export function Bodies({ id, isOver }) {
  const [page, setPage] = useState(null);
  useEffect(() => {
    const end = new AbortController();
    requestJson(`v1/system/requests/${encodeURIComponent(id)}`, { signal: end.signal }).then(setPage, () => setPage(null));
    return () => end.abort();
  }, [id, isOver]);
  if (!page?.captured) return null;
  return html`<div class="stack">
    ${page.sent && html`<${Body} title="Sent" body=${page.sent} />`}
    ${page.answer && html`<${Body} title="Answered" body=${page.answer} />`}
  </div>`;
}

function Body({ title, body }) {
  return html`<details class="captured-body">
    <summary>${title} <small class="muted">${body.content_type} · ${bytes(body.bytes)}${body.cut && " · only the beginning"}</small></summary>
    <div class="row">
      ${body.images.map(
        (image) => html`<figure key=${image.field} class="captured-image">
          <img src=${image.thumbnail} alt="The image in ${image.field || "the body"}" />
          <figcaption class="muted">${image.field} ${image.width} × ${image.height}</figcaption>
        </figure>`,
      )}
    </div>
    <pre class="pre-wrap">${body.text}</pre>
  </details>`;
}
