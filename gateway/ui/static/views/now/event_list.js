/** What happened, as it happens; 10,000 events stay fluid. */

import { html, useMemo, useState } from "../../lib/view.js";
import { eventText } from "../../lib/event_text.js";
import { clock, counted } from "../../lib/format.js";
import { events } from "../../lib/live.js";
import { useStore } from "../../lib/store.js";
import { TextField } from "../../components/fields.js";
import { WindowedList } from "../../components/windowed_list.js";

const ROW = 28;

export function EventList() {
  const all = useStore(events);
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const shown = useMemo(
    () => (wanted ? all.filter((event) => `${event.type} ${eventText(event)}`.toLowerCase().includes(wanted)) : all),
    [all, wanted],
  );
  return html`<section class="card" aria-label="Events">
    <header class="row spread">
      <h2>Events <small class="muted">${counted(shown.length, "event")}</small></h2>
      <${TextField} label="Find events" hideLabel type="search" placeholder="Find events" value=${text} onInput=${setText} />
    </header>
    <${WindowedList} items=${shown} rowHeight=${ROW} keyOf=${(event) => event.key} label="Events" stick
      className="event-rows" height=${ROW * 9}
      row=${(event) => html`<div class="event-row" data-type=${event.type}>
        <time class="muted">${clock(event.time)}</time><span class="cut" title=${eventText(event)}>${eventText(event)}</span>
      </div>`} />
  </section>`;
}
