/** Images that a model has drawn: to save, to vary, or to edit further. */

import { html } from "../../../lib/view.js";
import { linkTo, navigate } from "../../../lib/router.js";
import { bytesOf } from "../lib/arrays.js";
import { save } from "../lib/files.js";
import { chosenImages, continued, draftOf, keepDraft } from "../lib/tasks.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function ImagesPane({ outcome }) {
  const { data, output_format: format } = { output_format: outcome.body.output_format ?? "png", ...outcome.value };
  const prompt = outcome.body.prompt || "a variation";
  return html`<ul class="plain images" data-count=${data.length}>
    ${data.map((image, index) => html`<${DrawnImage} key=${index} image=${image} format=${format} prompt=${prompt} body=${outcome.body} />`)}
  </ul>`;
}

function DrawnImage({ image, format, prompt, body }) {
  const source = `data:image/${format};base64,${image.b64_json}`;
  const download = () => save(new Blob([bytesOf(image.b64_json)], { type: `image/${format}` }), `image-${image.seed ?? "drawn"}.${format}`);
  return html`<li>
    <figure>
      <img src=${source} alt=${prompt} />
      <figcaption class="row spread">
        <span class="mono muted">${image.seed === null || image.seed === undefined ? "" : `seed ${image.seed}`}</span>
        <span class="row">
          <button type="button" class="button small" onClick=${download}>Save</button>
          <button type="button" class="button small" onClick=${() => goOn("image-edit", source, body)}>Edit</button>
          <button type="button" class="button small" onClick=${() => goOn("image-variation", source, body)}>Vary</button>
        </span>
      </figcaption>
    </figure>
  </li>`;
}

/** Continue with the image in another tab, with what was asked for here. */
function goOn(task, dataUrl, { prompt, size, steps, model }) {
  const file = { dataUrl, name: "drawn.png" };
  const draft = draftOf(task);
  const values = { ...draft?.values, image: task === "image-edit" ? [file] : file, mask: undefined, prompt, steps };
  chosenImages.set([file]);
  keepDraft(task, { models: model ? [model] : [""], asJob: true, ...draft, values: { ...values, size } });
  continued.update((count) => count + 1);
  navigate(linkTo("playground", [task]));
}
