/** A log from its end: pages backwards when they are asked for, and what is written as it is written. */

import { useEffect, useRef, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { insist } from "../../lib/insist.js";
import { follow } from "../../lib/sse.js";

const PAGE = 500;
const KEPT = 50_000;

/** @typedef {{ key: string, position: number | null, text: string, time: number }} LogLine */

/**
 * @param {string} name
 * @param {string} search only lines with this text
 * @param {boolean} live whether new lines follow
 */
export function useLog(name, search, live) {
  const [state, setState] = useState({ lines: [], loading: true, error: null, isLive: false });
  const [attempt, setAttempt] = useState(0);
  const source = useRef(null);
  useEffect(() => {
    const log = new LogSource(name, search, live, (change) => setState((before) => ({ ...before, ...change })));
    source.current = log;
    log.begin();
    return () => log.end();
  }, [name, search, live, attempt]);
  return { ...state, loadEarlier: () => source.current?.loadEarlier(), retry: () => setAttempt(attempt + 1) };
}

/** Reads one log, and publishes its lines at most once a frame. */
class LogSource {
  constructor(name, search, live, publish) {
    this.name = encodeURIComponent(name);
    this.query = search ? `&search=${encodeURIComponent(search)}` : "";
    this.live = live;
    this.publish = publish;
    this.lines = [];
    this.arrived = [];
    this.older = 0;
    this.before = null;
    this.written = 0;
    this.aborting = new AbortController();
    this.stop = () => {};
    this.frame = 0;
  }

  async begin() {
    this.publish({ lines: [], loading: true, error: null, isLive: false, hasEarlier: false, older: 0 });
    const page = await this.load().catch(() => null); // the error is shown already
    if (page && this.live && !this.aborting.signal.aborted) this.follow(page.end);
  }

  end() {
    this.aborting.abort();
    this.stop();
    cancelAnimationFrame(this.frame);
  }

  loadEarlier() {
    return this.load().catch(() => null);
  }

  /** The page before the lines that are here. */
  async load() {
    this.publish({ loading: true });
    const where = `${this.before === null ? "" : `&before=${this.before}`}${this.older ? `&older=${this.older}` : ""}`;
    const path = `v1/system/log-pages/${this.name}?lines=${PAGE}${where}${this.query}`;
    const { signal } = this.aborting;
    const onError = (error) => this.publish({ loading: false, error });
    const page = await insist(() => requestJson(path, { signal }), { signal, onError });
    this.lines = [...page.lines.map((line) => this.line(line, page.older)), ...this.lines];
    this.older = page.before > 0 ? page.older : page.older + 1;
    this.before = page.before > 0 ? page.before : null;
    const hasEarlier = page.before > 0 || page.has_older;
    this.publish({ lines: this.lines, loading: false, error: null, hasEarlier, older: page.before > 0 ? page.older : this.older });
    return page;
  }

  takeArrived() {
    this.frame = 0;
    this.lines = [...this.lines, ...this.arrived].slice(-KEPT);
    this.arrived = [];
    this.publish({ lines: this.lines });
  }

  follow(end) {
    const onEvent = ({ data }) => {
      const text = JSON.parse(data).line;
      this.written += 1;
      this.arrived.push({ key: `new-${this.written}`, position: null, text, time: Date.now() / 1000 });
      this.frame ||= requestAnimationFrame(() => this.takeArrived());
    };
    const onState = (connection, error) => this.publish({ isLive: connection === "open", ...(error?.status ? { error } : {}) });
    this.stop = follow(`v1/system/logs/${this.name}?lines=0&follow=true&after=${end}${this.query}`, { onEvent, onState });
  }

  line({ position, text }, older) {
    return { key: `${older}-${position}`, position, text, time: 0 };
  }
}
