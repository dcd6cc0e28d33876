/** Making elements. Text is always text: nothing here reads HTML. */

/**
 * @param {string} tag
 * @param {Record<string, string|number|boolean|null|Function>} [attributes] `onclick` and the like listen; null and
 *   false leave the attribute out
 * @param {...(Node|string)} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** Set an element's text, only where it differs: what stays is not announced and not drawn again. */
export function say(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** The class of a shape such as `16:9`. @param {string} ratio */
export const ratioClass = (ratio) => `ratio-${ratio.replace(":", "-")}`;

/** A drawing of 24 × 24 from a path. @param {string} path */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
