/** How far a download is, and the button that ends it. */

import { html } from "../../lib/view.js";
import { bytes, duration } from "../../lib/format.js";
import { cancel } from "./actions.js";

/** @param {{ download: object }} props */
export function DownloadBar({ download }) {
  const { bytes: done, total, bytes_per_second: speed, seconds_left: left, phase } = download;
  const amount = total ? `${bytes(done)} of ${bytes(total)}` : bytes(done);
  const text = [phase, amount, speed && `${bytes(speed)}/s`, left && `${duration(left)} left`].filter(Boolean).join(" · ");
  return html`<div class="download">
    <progress value=${total ? done : undefined} max=${total || 1} aria-label="Download of ${download.model}"></progress>
    <div class="row spread"><small class="muted">${text}</small>
      <button class="button small" onClick=${() => cancel(download)} aria-label="Cancel the download of ${download.model}">Cancel</button></div>
  </div>`;
}
