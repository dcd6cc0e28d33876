/** Moving among frames: one stop for the Tab key a strip, arrows, Home and End from there. */

const STOPS = ".frame > a, .frame > [data-tip]";

/**
 * @param {HTMLElement} strips
 * @param {(strip: HTMLElement) => import("./gallery.js").Gallery|null} galleryOf what shows all frames of a large stage
 */
export function moveByKeys(strips, galleryOf) {
  for (const link of strips.querySelectorAll(".frame > a")) link.tabIndex = -1;
  strips.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const stop = event.target.closest(STOPS);
    const to = stop && target(event.key, stop, galleryOf);
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
  strips.addEventListener("focusin", (event) => {
    const stop = event.target.closest(STOPS);
    if (!stop) return;
    for (const other of stop.closest("[data-stage]").querySelectorAll('.frame > [tabindex="0"]')) other.tabIndex = -1;
    stop.tabIndex = 0;
  });
}

function target(key, stop, galleryOf) {
  const strip = stop.closest("[data-stage]");
  const gallery = galleryOf(strip);
  if (gallery) {
    const side = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[key];
    return gallery.target(key, stop) ?? (side ? neighbour(strip, side) : null);
  }
  const frames = [...strip.querySelectorAll(".frame")].filter(inSight);
  const at = frames.indexOf(stop.parentElement);
  const columns = Math.max(1, Math.round(stop.closest(".frames").clientWidth / (stop.parentElement.offsetWidth + 6)));
  switch (key) {
    case "ArrowRight": return next(frames, at + 1, 1);
    case "ArrowLeft": return next(frames, at - 1, -1);
    case "Home": return next(frames, 0, 1);
    case "End": return next(frames, frames.length - 1, -1);
    case "ArrowDown": return next(frames, at + columns, 1) ?? neighbour(strip, "nextElementSibling");
    case "ArrowUp": return next(frames, at - columns, -1) ?? neighbour(strip, "previousElementSibling");
    default: return null;
  }
}

/** Whether a frame is in the row that a folded strip shows. @param {HTMLElement} frame */
const inSight = (frame) => !("folded" in frame.closest("[data-stage]").dataset) || frame.offsetTop === frame.parentElement.children[0].offsetTop;

function next(frames, from, step) {
  for (let at = from; at >= 0 && at < frames.length; at += step) {
    const stop = frames[at].querySelector(":scope > a, :scope > [data-tip]");
    if (stop) return stop;
  }
  return null;
}

function neighbour(strip, side) {
  for (let other = strip[side]; other; other = other[side]) {
    const stop = other.querySelector('.frame > [tabindex="0"]');
    if (stop) return stop;
  }
  return null;
}
