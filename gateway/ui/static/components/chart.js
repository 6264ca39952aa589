/** A small chart of series over time, drawn by uPlot, in the colours of the page. */

import { html, useEffect, useRef } from "../lib/view.js";
import { dark } from "../lib/theme.js";
import { useStore } from "../lib/store.js";
import uPlot from "../vendor/uplot.js";

/**
 * `data` is a list of times in seconds, then a list of values for each series; null where there is none.
 * @param {{ title: string, data: (number | null)[][], series: { label: string, colour: string, fill?: boolean, bars?: boolean }[],
 *   format?: (value: number) => string, height?: number, max?: number }} props
 */
export function Chart({ title, data, series, format = String, height = 130, max }) {
  const element = useRef(null);
  const plot = useRef(null);
  const isDark = useStore(dark);
  useEffect(() => {
    const place = element.current;
    const size = () => ({ width: Math.max(160, place.clientWidth), height });
    plot.current = new uPlot(optionsOf({ series, format, max, colourOf: colourReader(place), size: size() }), data, place);
    const observer = new ResizeObserver(() => plot.current.setSize(size()));
    observer.observe(place);
    return () => {
      observer.disconnect();
      plot.current.destroy();
    };
  }, [isDark, series.map(({ label }) => label).join("\n")]);
  useEffect(() => plot.current.setData(data), [data]);
  return html`<figure class="chart">
    <figcaption class="row spread">
      <span>${title}</span>
      <span class="chart-legend">
        ${series.map(({ label, colour }) => html`<span key=${label} data-colour=${colour}><i class="swatch"></i>${label}</span>`)}
      </span>
    </figcaption>
    <div ref=${element} class="chart-plot" role="img" aria-label="${title}: ${spoken(series, data, format)}"></div>
  </figure>`;
}

/** The last value of each series, for those who do not see the chart. */
function spoken(series, data, format) {
  return series.map(({ label }, index) => `${label} ${format(data[index + 1].findLast((value) => value !== null) ?? 0)}`).join(", ");
}

/** Reads a custom property as a colour that canvas understands, when it draws: light and dark may change. */
function colourReader(element) {
  return (name) => () => {
    element.style.color = `var(--${name})`;
    return getComputedStyle(element).color;
  };
}

function optionsOf({ series, format, max, colourOf, size }) {
  const axis = { stroke: colourOf("muted"), grid: { stroke: colourOf("border"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    ...size,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, max ?? Math.max(high ?? 0, 1) * 1.1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (_, times) => times.map((time) => new Date(time * 1000).toTimeString().slice(0, 5)) },
      { ...axis, size: 62, space: 28, values: (_, values) => values.map(format) },
    ],
    series: [{}, ...series.map((one) => seriesOptions(one, colourOf))],
  };
}

function seriesOptions({ label, colour, fill, bars }, colourOf) {
  const stroke = colourOf(colour);
  const soft = () => `color-mix(in srgb, ${stroke()} 22%, transparent)`;
  const paths = bars ? uPlot.paths.bars({ size: [0.7, 24] }) : undefined;
  return { label, stroke, fill: bars ? stroke : fill ? soft : undefined, width: bars ? 0 : 1.5, points: { show: false }, paths };
}
