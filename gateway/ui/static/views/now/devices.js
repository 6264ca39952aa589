/** A card for each device, with a bar of its memory. */

import { html } from "../../lib/view.js";
import { bytes } from "../../lib/format.js";
import { sharesOf } from "../../lib/memory.js";
import { MemoryBar } from "../../components/memory_bar.js";

/** @param {{ devices: object[], workers: object[] }} props */
export function Devices({ devices, workers }) {
  return html`<section class="columns" aria-label="Memory">
    ${devices.map(
      (device) => html`<article key=${device.id} class="card device">
        <header class="row spread">
          <h2>${device.name}</h2>
          <span class="muted">${device.id} · ${bytes(device.used)} of ${bytes(device.total)}</span>
        </header>
        <${MemoryBar} shares=${sharesOf(device, workers)} total=${device.total} label="Memory of ${device.id}" />
      </article>`,
    )}
  </section>`;
}
