/** Where the time of a request went, from the header `Server-Timing` and what the browser saw. */

/**
 * @param {string | null} header such as `queue;dur=1.5, load;dur=0, infer;dur=220`
 * @returns {{ name: string, ms: number }[]}
 */
export function phasesOf(header) {
  return (header ?? "")
    .split(",")
    .map((part) => part.trim().split(";"))
    .map(([name, ...fields]) => ({ name, ms: Number(fields.find((field) => field.trim().startsWith("dur="))?.split("=")[1]) }))
    .filter(({ name, ms }) => name && Number.isFinite(ms));
}

/**
 * The phases of the server, and the rest of the time that the browser measured. A stream that began while it waited for its
 * model has no phases: then the browser's own times are all that is known.
 * @param {string | null} header
 * @param {number} total milliseconds
 * @param {number | null} [first] milliseconds until the first word
 */
export function shares(header, total, first = null) {
  const phases = phasesOf(header).filter(({ ms }) => ms > 0);
  if (!phases.length && first !== null) return [{ name: "wait", ms: first }, { name: "answer", ms: total - first }];
  const known = phases.reduce((sum, { ms }) => sum + ms, 0);
  return total > known ? [...phases, { name: "transfer", ms: total - known }] : phases;
}
