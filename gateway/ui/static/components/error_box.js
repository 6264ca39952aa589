/** An error as the server wrote it, with its code and the request's id. */

import { html } from "../lib/view.js";

/**
 * @param {{ error: Error & { code?: string, requestId?: string | null, param?: string | null } | null,
 *   onRetry?: () => void }} props
 */
export function ErrorBox({ error, onRetry }) {
  if (!error) return null;
  const facts = [error.code, error.param && `field ${error.param}`, error.requestId && `request ${error.requestId}`];
  return html`<div class="error-box" role="alert">
    <p>${error.message}</p>
    <div class="row">
      <small class="muted mono">${facts.filter(Boolean).join(" · ")}</small>
      ${onRetry && html`<button type="button" class="button small" onClick=${onRetry}>Try again</button>`}
    </div>
  </div>`;
}
