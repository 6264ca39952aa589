/** Light or dark: as the system says, unless the user has chosen. The choice stays in this browser. */

import { createStore } from "./store.js";

const NAME = "enginehouse-theme";

/** @type {import("./store.js").Store<"system" | "light" | "dark">} */
export const theme = createStore(stored());

/** Put the choice in force, and follow it. */
export function applyTheme() {
  const apply = () => {
    if (theme.get() === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.get();
  };
  theme.subscribe(() => {
    apply();
    localStorage.setItem(NAME, theme.get());
  });
  apply();
}

/** Whether the page is dark now. */
export function isDark() {
  if (theme.get() !== "system") return theme.get() === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function stored() {
  const value = localStorage.getItem(NAME);
  return value === "light" || value === "dark" ? value : "system";
}
