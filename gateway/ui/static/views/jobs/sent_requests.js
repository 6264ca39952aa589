/**
 * The requests of jobs that this tab has sent. The server does not keep what an ended job ran, so only these can be sent
 * again as they were.
 */

const NAME = "enginehouse-jobs";
const KEPT = 30;
const LONGEST = 200_000; // characters

/** @param {string} id @param {{ type: string, body: string }} request */
export function remember(id, request) {
  if (request.body.length > LONGEST) return;
  const entries = [[id, request], ...Object.entries(stored())].slice(0, KEPT);
  try {
    sessionStorage.setItem(NAME, JSON.stringify(Object.fromEntries(entries)));
  } catch {
    sessionStorage.removeItem(NAME); // it is full
  }
}

/**
 * What to send to run a job again; without `body`, this tab did not send it.
 * @param {{ job_id: string, model_type: string, model: string, priority: string }} job
 */
export function draftOf(job) {
  const sent = stored()[job.job_id];
  return { type: job.model_type, model: job.model, priority: job.priority, body: sent?.body, isCopy: true };
}

function stored() {
  return JSON.parse(sessionStorage.getItem(NAME) ?? "{}");
}
