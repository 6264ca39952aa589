/** Keeps the end of a conversation in sight while it grows, unless the reader has scrolled away from it. */

import { useEffect, useLayoutEffect, useRef } from "../../../lib/view.js";

/**
 * @param {{ current: HTMLElement | null }} end what is kept in sight, with a `scroll-margin-bottom`
 * @param {unknown} turn changes with each new turn, which is always brought into sight
 * @param {unknown} growth changes as the last turn grows
 */
export function useFollowing(end, turn, growth) {
  const following = useRef(true);
  const last = useRef(turn);
  const seen = useRef(0); // how far the window was scrolled when the browser last said so
  useEffect(() => {
    const note = () => {
      seen.current = window.scrollY;
      following.current = !isBelow(end.current, window.innerHeight);
    };
    window.addEventListener("scroll", note, { passive: true });
    return () => window.removeEventListener("scroll", note);
  }, []);
  useLayoutEffect(() => {
    if (window.scrollY < seen.current) following.current = false; // scrolled up; the browser says so with the next frame
    const isNew = last.current !== turn;
    last.current = turn;
    // Only ever downwards: two conversations beside each other would pull the page to and fro.
    if ((isNew || following.current) && isBelow(end.current, visibleBottom(end.current))) end.current.scrollIntoView({ block: "end" });
  }, [turn, growth]);
}

function isBelow(element, bottom) {
  return element.getBoundingClientRect().top > bottom;
}

/** Above what covers the end of the window. */
function visibleBottom(element) {
  return window.innerHeight - parseFloat(getComputedStyle(element).scrollMarginBottom);
}
