/** Icons as outlines of 24 by 24 units, in the colour of the text. They are decoration: names are beside them. */

import { html } from "../lib/view.js";

const PATHS = {
  now: "M3 12h4l3-8 4 16 3-8h4",
  playground: "M8 5.5v13l11-6.5z",
  models: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  jobs: "M4 6h16M4 12h16M4 18h10M17 16l2 2 3-3.5",
  requests: "M7 4v14M3.5 14.5L7 18l3.5-3.5M17 20V6M13.5 9.5L17 6l3.5 3.5",
  logs: "M5 4h14v16H5zM8.5 9h7M8.5 12.5h7M8.5 16h4",
  keys: "M14.5 9.5m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0M11 13l-7 7M6.5 17.5l2 2",
  configuration: "M4 7h9M17 7h3M4 17h3M11 17h9M15 7m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M9 17m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
  light: "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4",
  dark: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  close: "M6 6l12 12M18 6L6 18",
  search: "M11 11m-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M15.5 15.5L20 20",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  copy: "M9 9h10v11H9zM5 15V4h10",
  leave: "M10 4H5v16h5M15 8l4 4-4 4M9 12h10",
};

/**
 * An icon by its name.
 * @param {{ name: keyof typeof PATHS }} props
 */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
