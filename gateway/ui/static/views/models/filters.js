/** Which models the catalogue shows; the choice is in the address. */

import { html } from "../../lib/view.js";
import { linkTo, navigate } from "../../lib/router.js";
import { CheckField, SelectField, TextField } from "../../components/fields.js";

const YES = "yes";

/**
 * The models that a query lets through.
 * @param {object[]} models
 * @param {Record<string, string>} query `find`, `task`, `licence`; `fits`, `downloaded` and `configured` if they are `yes`
 */
export function filtered(models, query) {
  const wanted = (query.find ?? "").trim().toLowerCase();
  return models.filter(
    (model) =>
      (!query.task || model.tasks.includes(query.task)) &&
      (!query.licence || model.licence === query.licence) &&
      (query.fits !== YES || model.fits !== false) &&
      (query.downloaded !== YES || model.downloaded) &&
      (query.configured !== YES || model.configured) &&
      (!wanted || textOf(model).includes(wanted)),
  );
}

function textOf(model) {
  return [model.id, model.name, model.family, model.team, model.hub, model.engine, model.note].join(" ").toLowerCase();
}

/** @param {{ models: object[], query: Record<string, string> }} props */
export function Filters({ models, query }) {
  const change = (fields) => navigate(linkTo("models", [], { ...query, ...fields }), { replace: true });
  const all = (values) => [{ value: "", label: "All" }, ...[...new Set(values.filter(Boolean))].sort()];
  const check = (name, label) => html`<${CheckField} label=${label} checked=${query[name] === YES}
    onInput=${(checked) => change({ [name]: checked ? YES : "" })} />`;
  return html`<search class="filters card">
    <${TextField} label="Find" type="search" value=${query.find ?? ""} onInput=${(find) => change({ find })} />
    <${SelectField} label="Task" value=${query.task ?? ""} options=${all(models.flatMap((model) => model.tasks))} onInput=${(task) => change({ task })} />
    <${SelectField} label="Licence" value=${query.licence ?? ""} options=${all(models.map((model) => model.licence))} onInput=${(licence) => change({ licence })} />
    ${check("fits", "Fits here")} ${check("downloaded", "Downloaded")} ${check("configured", "Configured")}
  </search>`;
}
