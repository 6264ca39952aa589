/** The last hour, from `GET /v1/system/history`: asked for once, then only what is new. */

import { useEffect } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { createStore, useStore } from "../../lib/store.js";

const INTERVAL = 5000;
const HOUR = 3600;

/** The history, or null before the first answer. */
export const history = createStore(null);

/** Keep the history current while the component is shown and the page is visible. */
export function useHistory() {
  useEffect(() => {
    const abort = new AbortController();
    const look = async () => {
      if (document.visibilityState === "visible") await update(abort.signal).catch(() => {}); // the banner says it
    };
    look();
    const timer = setInterval(look, INTERVAL);
    document.addEventListener("visibilitychange", look);
    return () => {
      abort.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  return useStore(history);
}

const NONE = new Map();
const rates = createStore(NONE);

/** What each model does in a second, by its id. */
export function useRates() {
  return useStore(rates);
}

async function update(signal) {
  const current = history.get();
  const since = current?.times.at(-1);
  const news = await requestJson(`v1/system/history${since ? `?since=${since}` : ""}`, { signal });
  rates.set(new Map(news.models.map((rate) => [rate.model, rate])));
  history.set(since ? joined(current, news) : news);
}

const LISTS = ["times", "seconds", "requests", "failed", "tokens", "prompt_tokens", "images", "waiting", "running"];

/**
 * The history with newer points after it, without those that are older than an hour.
 * @param {object} old
 * @param {object} news
 */
export function joined(old, news) {
  const times = [...old.times, ...news.times];
  const first = times.findIndex((time) => time > times.at(-1) - HOUR);
  const cut = (a, b) => [...a, ...b].slice(first);
  const result = { ...news };
  for (const name of LISTS) result[name] = cut(old[name], news[name]);
  const before = new Map(old.devices.map((device) => [device.id, device]));
  result.devices = news.devices.map((device) => {
    const earlier = before.get(device.id) ?? { used: old.times.map(() => null), foreign: old.times.map(() => null) };
    return { ...device, used: cut(earlier.used, device.used), foreign: cut(earlier.foreign, device.foreign) };
  });
  return result;
}
