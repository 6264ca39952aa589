/** A text field with numbers beside its lines; those with a problem are marked. */

import { html, useEffect, useRef } from "../../lib/view.js";

/**
 * @param {{ text: string, onInput: (text: string) => void, problems: import("./use_check.js").Problem[],
 *   goTo: { number: number } | null }} props `goTo`: the line to select, each time another object is given
 */
export function Editor({ text, onInput, problems, goTo }) {
  const field = useRef(null);
  const numbers = useRef(null);
  const marked = new Set(problems.map((problem) => problem.line));
  const count = text.split("\n").length;
  useEffect(() => {
    if (goTo) select(field.current, goTo.number);
  }, [goTo]);
  const onScroll = () => (numbers.current.scrollTop = field.current.scrollTop);
  const onKeyDown = (event) => {
    if (event.key !== "Tab" || event.shiftKey || event.currentTarget.selectionStart !== event.currentTarget.selectionEnd) return;
    if (!/^\s*$/.test(lineBefore(event.currentTarget))) return; // elsewhere, Tab leaves the field
    event.preventDefault();
    document.execCommand("insertText", false, "  ");
  };
  return html`<div class="editor">
    <div ref=${numbers} class="editor-numbers" aria-hidden="true">
      ${Array.from({ length: count }, (_, index) => html`<span key=${index} data-wrong=${marked.has(index + 1) || undefined}>${index + 1}</span>`)}
    </div>
    <textarea ref=${field} class="editor-text mono" aria-label="The configuration file" spellcheck=${false} wrap="off"
      autocapitalize="off" autocomplete="off" value=${text} onInput=${(event) => onInput(event.currentTarget.value)}
      onScroll=${onScroll} onKeyDown=${onKeyDown} aria-invalid=${problems.length > 0}></textarea>
  </div>`;
}

function lineBefore(field) {
  return field.value.slice(field.value.lastIndexOf("\n", field.selectionStart - 1) + 1, field.selectionStart);
}

/** Select a line, and bring it into sight. */
function select(field, line) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  field.focus();
  field.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  const height = field.scrollHeight / lines.length;
  field.scrollTop = Math.max(0, (line - 5) * height);
}
