/** Preact and htm from one place: every view and component imports them from here. */

import { h, htm } from "../vendor/preact.js";

export {
  Component,
  createContext,
  Fragment,
  h,
  render,
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useId,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "../vendor/preact.js";

/** The tag of templates: `` html`<p>${text}</p>` ``. Values are text or components, never markup. */
export const html = htm.bind(h);
