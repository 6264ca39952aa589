/** Light or dark: as the system says, unless the user has chosen. The choice stays in this browser. */

import { createStore } from "./store.js";

const NAME = "enginehouse-theme";

/** @type {import("./store.js").Store<"system" | "light" | "dark">} */
export const theme = createStore(stored());

const system = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page is dark now. */
export const dark = createStore(isDark());

/** Put the choice in force, and follow it. */
export function applyTheme() {
  const apply = () => {
    dark.set(isDark());
    if (theme.get() === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.get();
  };
  theme.subscribe(() => {
    apply();
    localStorage.setItem(NAME, theme.get());
  });
  system.addEventListener("change", apply);
  apply();
}

function isDark() {
  return theme.get() === "system" ? system.matches : theme.get() === "dark";
}

function stored() {
  const value = localStorage.getItem(NAME);
  return value === "light" || value === "dark" ? value : "system";
}
