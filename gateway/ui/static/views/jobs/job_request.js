/** What a job runs: the server keeps it as long as the job. */

import { request } from "../../lib/api.js";

const LONGEST = 200_000; // bytes that are shown to be changed

/**
 * The request of a job: its path with its query, and its body, which is also text if that can be changed.
 * @param {{ job_id: string }} job
 * @returns {Promise<{ path: string, contentType: string, body: Blob, text: string | null }>}
 */
export async function requestOf(job) {
  const response = await request(`jobs/${encodeURIComponent(job.job_id)}/request`);
  const contentType = response.headers.get("content-type");
  const body = await response.blob();
  const canBeChanged = contentType.includes("json") && body.size <= LONGEST;
  return { path: response.headers.get("x-job-path"), contentType, body, text: canBeChanged ? await body.text() : null };
}
