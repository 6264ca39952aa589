/** Images that are pasted anywhere on the page: they go to one place, even if several of the page take images. */

import { useLayoutEffect, useRef } from "../../../lib/view.js";
import { attempt } from "../../../components/toasts.js";
import { filesIn } from "../lib/files.js";

/** @type {{ element: { current: HTMLElement | null }, add: { current: (blobs: Blob[]) => void } }[]} those on the page */
const targets = [];

/**
 * @param {{ current: HTMLElement | null }} element it gets what is pasted while the focus is inside; else the page's first does
 * @param {(blobs: Blob[]) => void} add
 */
export function usePaste(element, add) {
  const latest = useRef(add);
  latest.current = add;
  useLayoutEffect(() => {
    const target = { element, add: latest };
    if (targets.push(target) === 1) document.addEventListener("paste", onPaste);
    return () => {
      targets.splice(targets.indexOf(target), 1);
      if (!targets.length) document.removeEventListener("paste", onPaste);
    };
  }, []);
}

function onPaste(event) {
  if (!event.clipboardData?.files.length) return;
  const target = targets.find(({ element }) => element.current?.contains(document.activeElement)) ?? firstOnThePage();
  attempt(async () => target.add.current(filesIn(event.clipboardData)));
}

function firstOnThePage() {
  const isBefore = (one, other) => one.element.current.compareDocumentPosition(other.element.current) & Node.DOCUMENT_POSITION_FOLLOWING;
  return targets.reduce((first, target) => (isBefore(target, first) ? target : first));
}
