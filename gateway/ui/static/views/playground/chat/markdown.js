/** Markdown of a model as HTML that can do nothing: what DOMPurify lets through is text, lists, tables and links. */

import { DOMPurify, Marked } from "../../../vendor/markdown.js";

// HTML in an answer is shown as text, and an image as its description: the page loads nothing from elsewhere.
const renderer = { html: ({ text }) => escaped(text), image: ({ text, href }) => escaped(text || href) };
const marked = new Marked({ gfm: true, breaks: true, async: false, renderer });
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "start", "target", "rel"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/**
 * @param {string} text
 * @returns {string} HTML that is safe to insert
 */
export function safeHtml(text) {
  return DOMPurify.sanitize(marked.parse(text), ALLOWED);
}
