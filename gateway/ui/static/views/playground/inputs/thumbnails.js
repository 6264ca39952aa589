/** Chosen images, each with a button that takes it away again, unless they are only shown. */

import { html } from "../../../lib/view.js";

/**
 * @param {{ files: import("../lib/files.js").ChosenFile[],
 *   onInput?: (files: import("../lib/files.js").ChosenFile[]) => void }} props
 */
export function Thumbnails({ files, onInput }) {
  if (!files.length) return null;
  return html`<ul class="plain thumbnails">
    ${files.map(
      (file, index) => html`<li key=${index}>
        <img src=${file.dataUrl} alt=${file.name} />
        ${onInput &&
        html`<button type="button" class="button small icon-only" aria-label="Remove ${file.name}"
          onClick=${() => onInput(files.filter((_, other) => other !== index))}>×</button>`}
      </li>`,
    )}
  </ul>`;
}
