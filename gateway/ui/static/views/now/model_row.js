/** One model in the list. */

import { html } from "../../lib/view.js";
import { useNow } from "../../lib/clock.js";
import { eventText } from "../../lib/event_text.js";
import { bytes, clock, duration, number } from "../../lib/format.js";
import { Badge } from "../../components/badge.js";
import { Icon } from "../../components/icons.js";
import { seriesOf } from "../../components/memory_bar.js";
import { evict, load, pin } from "./actions.js";

/**
 * @param {{ row: object, reason?: object, rate?: object, onOpen: (id: string) => void, onKeep: (id: string) => void }} props
 */
export function ModelRow({ row, reason, rate, onOpen, onKeep }) {
  const { model, isLoaded } = row;
  return html`<article class=${reason ? "model-row" : "model-row plain"} data-series=${isLoaded ? seriesOf({ kind: "worker", model: model.id }) : 0}>
    <div class="model-name">
      <button class="link cut" onClick=${() => onOpen(model.id)}>${model.id}</button>
      <${Badge} state=${model.state} />
      <small class="muted cut">${model.tasks.join(", ")}</small>
    </div>
    <p class="model-facts muted"><${Facts} row=${row} rate=${rate} /></p>
    <p class="model-reason muted cut">${reason ? `${clock(reason.time)}\u2002${eventText(reason)}` : ""}</p>
    <div class="model-actions row">
      <${Actions} row=${row} onKeep=${onKeep} />
    </div>
  </article>`;
}

function Facts({ row, rate }) {
  const { model, atWork, memory, isLoaded, endsAt } = row;
  const facts = [
    model.download && downloadText(model.download),
    atWork && `${atWork} at work`,
    model.waiting && `${model.waiting} waiting`,
    rate?.tokens > 0 && `${number(rate.tokens, 1)} tokens/s`,
    rate?.images > 0 && `${number(rate.images, 1)} images/s`,
    memory > 0 && bytes(memory),
    !memory && model.footprint_bytes && `takes ${model.footprint_learned ? "" : "about "}${bytes(model.footprint_bytes)}`,
    model.fits === false && "can never fit here",
    model.needs && `needs ${model.needs}`,
  ].filter(Boolean);
  const text = facts.join(" · ");
  if (model.pinned) return html`${text}${text && " · "}pinned`;
  if (!isLoaded) return text;
  if (endsAt === null) return html`${text}${text && " · "}stays until memory is needed`;
  return html`${text}${text && " · "}<${Countdown} endsAt=${endsAt} busy=${atWork > 0} />`;
}

function downloadText({ phase, bytes: done, total, file }) {
  const amount = total ? `${bytes(done)} of ${bytes(total)}` : "";
  return [phase === "verifying" ? "verifies" : "downloads", amount, file].filter(Boolean).join(" ");
}

/** Until when the model stays; while it works, that time moves on. */
function Countdown({ endsAt, busy }) {
  const now = useNow();
  const left = Math.max(0, Math.ceil(endsAt - now));
  return html`<span>${busy ? "stays while it works" : `goes in ${duration(left)}`}</span>`;
}

function Actions({ row, onKeep }) {
  const { model, atWork, isLoaded } = row;
  const runs = !["stopped", "backoff"].includes(model.state);
  return html`
    ${runs
      ? html`<button class="button small" onClick=${() => evict(model.id, atWork)} aria-label="Evict ${model.id}">Evict</button>`
      : html`<button class="button small" onClick=${() => load(model.id)} aria-label="Load ${model.id}">Load</button>`}
    <button class="button small" onClick=${() => onKeep(model.id)} disabled=${model.pinned} aria-label="Keep ${model.id} for a while">
      Keep …
    </button>
    <button class="button small icon-only" aria-pressed=${model.pinned ? "true" : "false"} aria-label="Pin ${model.id}"
      title=${model.pinned ? "Pinned: it stays in memory" : "Pin: keep it in memory"} onClick=${() => pin(model.id, !model.pinned)}>
      <${Icon} name="pin" />
    </button>`;
}
