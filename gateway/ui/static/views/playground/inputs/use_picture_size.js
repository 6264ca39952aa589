/** The size of a chosen picture, upright. */

import { useLayoutEffect, useState } from "../../../lib/view.js";
import { loadPicture, whileReading } from "../lib/files.js";

/**
 * @param {string | undefined} source a data URL
 * @returns {{ width: number, height: number } | null}
 */
export function usePictureSize(source) {
  const [known, setKnown] = useState({ source: undefined, size: null });
  useLayoutEffect(() => {
    let current = true;
    const measure = async () => {
      const { naturalWidth: width, naturalHeight: height } = await loadPicture(source);
      if (current) setKnown({ source, size: { width, height } });
    };
    if (source) whileReading(measure).catch(() => {});
    return () => (current = false);
  }, [source]);
  return known.source === source ? known.size : null;
}
