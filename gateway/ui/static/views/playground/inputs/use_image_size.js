/** The size of a chosen image, upright. */

import { useLayoutEffect, useState } from "../../../lib/view.js";
import { loadImage, whileReading } from "../lib/files.js";

/**
 * @param {string | undefined} source a data URL
 * @returns {{ width: number, height: number } | null}
 */
export function useImageSize(source) {
  const [known, setKnown] = useState({ source: undefined, size: null });
  useLayoutEffect(() => {
    let current = true;
    const measure = async () => {
      const { naturalWidth: width, naturalHeight: height } = await loadImage(source);
      if (current) setKnown({ source, size: { width, height } });
    };
    if (source) whileReading(measure).catch(() => {});
    return () => (current = false);
  }, [source]);
  return known.source === source ? known.size : null;
}
