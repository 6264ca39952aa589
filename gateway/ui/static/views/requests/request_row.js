/** One request in the list: what it asked for, how it ended, and how long each phase took. */

import { html } from "../../lib/view.js";
import { Badge } from "../../components/badge.js";
import { clock, duration } from "../../lib/format.js";
import { outcomeOf } from "./use_requests.js";

const TONES = { ok: "good", failed: "bad", running: "busy" };
const PHASES = ["queue", "load", "infer"];

/** @param {{ request: import("./use_requests.js").LoggedRequest, onOpen: (number: number) => void }} props */
export function RequestRow({ request, onOpen }) {
  const label = request.status === null ? "runs" : String(request.status);
  const who = [request.key, request.job && "job", request.error].filter(Boolean).join(" · ");
  return html`<button class="request-row" onClick=${() => onOpen(request.number)}>
    <span class="request-status"><${Badge} state=${label} tone=${TONES[outcomeOf(request)]} /></span>
    <span class="request-what">
      <span class="cut">${modelOf(request)} <span class="muted">${request.path}</span></span>
      <small class="muted cut">${clock(request.time)}${who && ` · ${who}`}</small>
    </span>
    <span class="request-time">
      <span>${request.seconds === null ? "…" : duration(request.seconds)}</span>
      <${PhaseBar} request=${request} />
    </span>
  </button>`;
}

/** While a request runs, its model may not be known yet; one that has ended without a model says so. */
function modelOf({ model, status }) {
  if (model) return html`<b>${model}</b>`;
  return status === null ? null : html`<b>no model</b>`;
}

/**
 * A bar of the phases of a request, as parts of its time.
 * @param {{ request: import("./use_requests.js").LoggedRequest }} props
 */
export function PhaseBar({ request }) {
  const total = request.seconds || 0;
  if (!total) return html`<svg class="phase-bar" aria-hidden="true"></svg>`;
  let left = 0;
  const parts = PHASES.map((name) => {
    const width = Math.min(100 - left, (100 * (request.phases[name] ?? 0)) / total);
    const part = { name, left, width };
    left += width;
    return part;
  });
  const title = PHASES.filter((name) => request.phases[name]).map((name) => `${name} ${duration(request.phases[name])}`);
  return html`<svg class="phase-bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img"
    aria-label=${title.join(", ") || "no phases"}>
    <rect class="phase-rest" x="0" y="0" width="100" height="6" />
    ${parts.map(({ name, left: x, width }) => html`<rect key=${name} class="phase-${name}" x=${x} y="0" width=${width} height="6" />`)}
  </svg>`;
}
