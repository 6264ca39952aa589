/** A list of any length that renders only the rows in sight. All rows are equally high. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/view.js";

const MARGIN = 3; // rows rendered above and below

/**
 * `row` renders an item; `height` is that of the list, in pixels, unless styles set one. With `stick`, the list stays at
 * its end as items are added, unless the user has scrolled up. With `hold`, the rows in sight stay in their places as items
 * are added before them: `always`, or only once it was `scrolled`, so that a list that begins with the newest shows them.
 * @template T
 * @param {{ items: T[], rowHeight: number, row: (item: T, index: number) => unknown, keyOf: (item: T) => string | number,
 *   label: string, stick?: boolean, hold?: "always" | "scrolled", className?: string, height?: number }} props
 */
export function WindowedList({ items, rowHeight, row, keyOf, label, stick = false, hold, className = "", height }) {
  const element = useRef(null);
  const atEnd = useRef(true);
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const list = element.current; // the observer may be called once more after the list is gone
    const observer = new ResizeObserver(() => setView({ top: list.scrollTop, height: list.clientHeight }));
    observer.observe(list);
    return () => observer.disconnect();
  }, []);
  useHold(element, items.length ? keyOf(items[0]) : null, hold, (key) => rowHeight * items.findIndex((item) => keyOf(item) === key));
  useLayoutEffect(() => {
    if (stick && atEnd.current) element.current.scrollTop = element.current.scrollHeight;
  }, [items, stick, view.height]);
  const onScroll = ({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
    atEnd.current = scrollTop + clientHeight >= scrollHeight - rowHeight;
    setView({ top: scrollTop, height: clientHeight });
  };
  const first = Math.max(0, Math.floor(view.top / rowHeight) - MARGIN);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + MARGIN);
  return html`<div ref=${element} class="windowed-list ${className}" onScroll=${onScroll} tabindex="0" role="region"
    aria-label=${label} style=${height ? { height: `${height}px` } : undefined}>
    <div role="list" class="windowed-rows" style=${{ height: `${items.length * rowHeight}px` }}>
      ${items.slice(first, last).map(
        (item, index) => html`<div key=${keyOf(item)} role="listitem" class="windowed-row" aria-setsize=${items.length}
          aria-posinset=${first + index + 1} style=${{ top: `${(first + index) * rowHeight}px`, height: `${rowHeight}px` }}>
          ${row(item, first + index)}
        </div>`,
      )}
    </div>
  </div>`;
}

/** Keep the rows in sight in their places when others are added before them; `heightBefore` are pixels above a key. */
function useHold(element, first, hold, heightBefore) {
  const known = useRef(first);
  useLayoutEffect(() => {
    const before = known.current;
    known.current = first;
    if (!hold || before === null || (hold === "scrolled" && element.current.scrollTop === 0)) return;
    element.current.scrollTop += Math.max(0, heightBefore(before));
  }, [first]);
}
