/** The line of progress, a segment a stage; `templates/words.html` draws the same. */

const SPACE = "http://www.w3.org/2000/svg";

/**
 * @param {SVGElement|null} line
 * @param {[number, number][]} parts delivered and ordered, of each segment
 * @param {boolean} ended
 */
export function setLine(line, parts, ended) {
  if (!line) return;
  const total = parts.reduce((sum, [, of]) => sum + of, 0) || 1;
  const done = parts.reduce((sum, [part]) => sum + part, 0);
  if (line.querySelectorAll("rect").length !== parts.length || Number(line.getAttribute("aria-valuemax")) !== total) {
    redraw(line, parts, total);
  }
  line.classList.toggle("ended", ended);
  line.setAttribute("aria-valuenow", String(done));
  line.querySelectorAll("rect").forEach((rect, index) => rect.setAttribute("width", String(parts[index][0])));
}

function redraw(line, parts, total) {
  line.setAttribute("viewBox", `0 0 ${total} 6`);
  line.setAttribute("aria-valuemax", String(total));
  line.classList.toggle("many", parts.length > 30);
  line.replaceChildren();
  let at = 0;
  parts.forEach(([, of], index) => {
    const rect = document.createElementNS(SPACE, "rect");
    for (const [name, value] of [["x", at], ["y", 0], ["width", 0], ["height", 6]]) rect.setAttribute(name, String(value));
    line.append(rect);
    at += of;
    if (index === parts.length - 1) return;
    const edge = document.createElementNS(SPACE, "path");
    edge.setAttribute("d", `M${at} 0V6`);
    line.append(edge);
  });
}
