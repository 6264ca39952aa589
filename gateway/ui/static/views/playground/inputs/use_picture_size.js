/** The size of a chosen picture, upright. */

import { useEffect, useState } from "../../../lib/view.js";
import { loadPicture } from "../lib/files.js";

/**
 * @param {string | undefined} source a data URL
 * @returns {{ width: number, height: number } | null}
 */
export function usePictureSize(source) {
  const [size, setSize] = useState(null);
  useEffect(() => {
    let current = true;
    setSize(null);
    if (source) {
      loadPicture(source).then(
        ({ naturalWidth: width, naturalHeight: height }) => current && setSize({ width, height }),
        () => {},
      );
    }
    return () => (current = false);
  }, [source]);
  return size;
}
