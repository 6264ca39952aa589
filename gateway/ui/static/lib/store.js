/** Values that components share: a component renders again when what it selects has changed. */

import { useEffect, useRef, useState } from "./view.js";

/**
 * @template T
 * @typedef {{ get: () => T, set: (value: T) => void, update: (change: (value: T) => T) => void,
 *   subscribe: (listener: () => void) => () => void }} Store
 */

/**
 * A value with listeners.
 * @template T
 * @param {T} value
 * @returns {Store<T>}
 */
export function createStore(value) {
  const listeners = new Set();
  const set = (next) => {
    if (Object.is(next, value)) return;
    value = next;
    for (const listener of [...listeners]) listener();
  };
  return {
    get: () => value,
    set,
    update: (change) => set(change(value)),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * What `select` takes from the store's value, followed as it changes.
 * @template T, S
 * @param {Store<T>} store
 * @param {(value: T) => S} select
 * @returns {S}
 */
export function useStore(store, select = (value) => value) {
  const [, render] = useState(0);
  const latest = useRef(null);
  latest.current = { select, selected: select(store.get()) };
  useEffect(() => {
    const look = () => {
      const selected = latest.current.select(store.get());
      if (Object.is(selected, latest.current.selected)) return;
      latest.current.selected = selected;
      render((count) => count + 1);
    };
    look(); // it may have changed between rendering and now
    return store.subscribe(look);
  }, [store]);
  return latest.current.selected;
}
