/** The view Models: the catalogue and all other configured models, with what of them is on this machine. */

import { html, useMemo, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { counted } from "../../lib/format.js";
import { status, useLive } from "../../lib/live.js";
import { usePolled } from "../../lib/polling.js";
import { linkTo, navigate } from "../../lib/router.js";
import { useStore } from "../../lib/store.js";
import { useWide } from "../../lib/width.js";
import { EmptyState } from "../../components/empty_state.js";
import { ErrorBox } from "../../components/error_box.js";
import { WindowedList } from "../../components/windowed_list.js";
import { CatalogueRow } from "./catalogue_row.js";
import { Details } from "./details.js";
import { Filters, filtered } from "./filters.js";
import { PullDialog } from "./pull_dialog.js";
import { Removal } from "./remove_dialog.js";

const INTERVAL = 30_000; // changes of models and downloads are seen at once, by the status
const ROW = { wide: 92, narrow: 156 };

/** @param {{ route: import("../../lib/router.js").Route }} props */
export default function Models({ route }) {
  useLive();
  const signature = useStore(status, signatureOf);
  const downloads = useStore(status, (current) => current?.downloads);
  const live = useStore(status, (current) => current?.models);
  const { value, error, refresh } = usePolled((signal) => requestJson("api/models", { signal }), { interval: INTERVAL, inputs: [signature] });
  const [pulls, setPulls] = useState(false);
  const models = useMemo(() => joined(value?.models ?? [], downloads, live ?? []), [value, downloads, live]);
  const rows = useMemo(() => filtered(models, route.query), [models, route.query]);
  const opened = models.find((model) => model.id === route.path[0]);
  const open = (id) => navigate(linkTo("models", id ? [id] : [], route.query));
  const height = useWide() ? ROW.wide : ROW.narrow;
  return html`<header class="row spread">
      <h1>Models</h1>
      <div class="row"><span class="muted">${value && counted(rows.length, "model")}</span>
        <button class="button" onClick=${() => setPulls(true)}>Pull from the hub …</button></div>
    </header>
    <${Filters} models=${models} query=${route.query} />
    <${ErrorBox} error=${error} onRetry=${refresh} />
    ${rows.length > 0 &&
    html`<${WindowedList} items=${rows} rowHeight=${height} keyOf=${(model) => model.id} label="Catalogue" className="card catalogue"
      height=${rows.length * height}
      row=${(model) => html`<${CatalogueRow} model=${model} onOpen=${open} onChange=${refresh} />`} />`}
    ${value && !rows.length && html`<${EmptyState} title="No model matches">Clear a filter or the search.</${EmptyState}>`}
    ${opened && html`<${Details} model=${opened} onClose=${() => open(null)} />`}
    <${Removal} />
    ${pulls && html`<${PullDialog} onClose=${() => setPulls(false)} />`}`;
}

/** Changes when the catalogue has to be asked for again: other models, or a download that has begun or ended. */
function signatureOf(current) {
  if (!current) return "";
  return [...current.downloads.map((download) => download.id), current.models.map((model) => model.id)].join(" ");
}

/** The catalogue with the latest of each model's download and state. */
function joined(models, downloads, live) {
  const running = new Map(downloads?.map((download) => [download.model, download]));
  const bySource = new Map(downloads?.map((download) => [download.source, download]));
  const configured = new Map(live.map((model) => [model.id, model]));
  return models.map((model) => {
    const known = configured.get(model.configured);
    const earlier = downloads && model.download?.state === "running" ? null : model.download; // it has ended since
    const download = running.get(model.id) ?? bySource.get(model.hub) ?? earlier;
    return { ...model, download, live: known, state: known?.state ?? model.state };
  });
}
