/** Asks for what a view cannot do without, until the server answers. */

const PAUSE = 2000;

/**
 * The answer of `ask`. It is asked again while the server cannot be reached or is out of order: after a pause, and at once
 * when the browser is online or visible again. `onError` gets every failure.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {{ signal: AbortSignal, onError: (error: Error) => void }} options
 * @returns {Promise<T>}
 * @throws an AbortError once `signal` is aborted, and errors that another attempt would not change
 */
export async function insist(ask, { signal, onError }) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      onError(error);
      if (error.status !== 0 && !(error.status >= 500)) throw error;
    }
    await pause(signal);
    signal.throwIfAborted();
  }
}

function pause(signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      document.removeEventListener("visibilitychange", end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, PAUSE);
    addEventListener("online", end);
    document.addEventListener("visibilitychange", end);
    signal.addEventListener("abort", end);
  });
}
