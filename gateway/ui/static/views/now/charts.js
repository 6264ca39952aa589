/** The last hour as small charts: memory, requests, tokens, and how long starts took. */

import { html, useMemo } from "../../lib/view.js";
import { bytes, duration, number } from "../../lib/format.js";
import { Chart } from "../../components/chart.js";
import { useHistory } from "./history.js";

export function Charts() {
  const history = useHistory();
  const charts = useMemo(() => history && chartsOf(history), [history]);
  if (!charts) return null;
  return html`<section class="card" aria-label="The last hour">
    <h2>The last hour</h2>
    <div class="charts">
      ${charts.map((chart) => html`<${Chart} key=${chart.title} ...${chart} />`)}
      <${Starts} starts=${history.starts} />
    </div>
  </section>`;
}

function chartsOf(history) {
  const { times } = history;
  const perMinute = (values) => values.map((value, index) => (history.seconds[index] > 0 ? (value * 60) / history.seconds[index] : null));
  const perSecond = (values) => values.map((value, index) => (history.seconds[index] > 0 ? value / history.seconds[index] : null));
  const memory = history.devices.map((device) => ({
    title: `Memory used on ${device.id}`,
    data: [times, device.used, device.foreign],
    series: [{ label: "used", colour: "series-1", fill: true }, { label: "other programs", colour: "muted" }],
    format: bytes,
    max: device.total,
  }));
  return [
    ...memory,
    {
      title: "Requests a minute",
      data: [times, perMinute(history.requests), perMinute(history.failed)],
      series: [{ label: "answered", colour: "series-1", fill: true }, { label: "failed", colour: "bad" }],
      format: short,
    },
    {
      title: "Requests",
      data: [times, history.running, history.waiting],
      series: [{ label: "at work", colour: "series-1", fill: true }, { label: "waiting", colour: "series-2" }],
      format: short,
    },
    {
      title: "Tokens and images a second",
      data: [times, perSecond(history.tokens), perSecond(history.images)],
      series: [{ label: "tokens", colour: "series-1", fill: true }, { label: "images", colour: "series-3" }],
      format: short,
    },
  ];
}

const PHASES = ["process", "imports", "load", "measure"];
const SHOWN = 8;

/** The last starts of workers, each as a bar of its phases. */
function Starts({ starts }) {
  const last = starts.slice(-SHOWN).reverse();
  const longest = Math.max(...last.map((start) => start.seconds), 0.001);
  return html`<figure class="chart starts">
    <figcaption class="row spread">
      <span>Cold starts</span>
      <span class="chart-legend">${PHASES.map((phase) => html`<span key=${phase} data-phase=${phase}><i class="swatch"></i>${phase}</span>`)}</span>
    </figcaption>
    ${last.length ? null : html`<p class="muted">No model was started in the last hour.</p>`}
    <ol class="plain">
      ${last.map(
        (start) => html`<li key=${start.time + start.worker} title=${start.error ?? ""}>
          <span class="cut">${start.worker}</span>
          <${Phases} start=${start} longest=${longest} />
          <span class=${start.error ? "failed-start" : "muted"}>${start.error ? "failed" : duration(start.seconds)}</span>
        </li>`,
      )}
    </ol>
  </figure>`;
}

function Phases({ start, longest }) {
  let x = 0;
  const label = PHASES.map((phase) => `${phase} ${duration(start.phases[phase] ?? 0)}`).join(", ");
  return html`<svg class="phases" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${PHASES.map((phase) => {
      const width = ((start.phases[phase] ?? 0) / longest) * 1000;
      x += width;
      return html`<rect key=${phase} data-phase=${phase} x=${x - width} width=${width} height="10"><title>${phase}: ${duration(start.phases[phase])}</title></rect>`;
    })}
  </svg>`;
}

function short(value) {
  return value >= 1000 ? `${number(value / 1000, 1)}k` : number(value, value < 10 ? 1 : 0);
}
