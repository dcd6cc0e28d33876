/** One frame of a strip; `templates/frames.html` draws the same before a script runs. */

import { chosen } from "./chosen.js";
import { whenFound } from "./connection.js";
import { el } from "./dom.js";
import { frameWords } from "./words.js";
import { renewed } from "./pictures.js";

/** What a frame's looks depend on: equal marks look the same. @param {import("./model.js").Frame} frame */
export const mark = (frame) => `${frame.state} ${frame.ordinal} ${frame.round} ${frame.again} ${frame.picture?.attach_id} ${retry(frame)}`;

/** Whether its call has failed and is retried, and how often so far. */
const retry = (frame) => (frame.state === "making" && frame.attempt ? `${frame.attempt} ${frame.reason}` : "");

/** @param {string} shape its class @param {number} position */
export function newFrame(shape, position) {
  return el("li", { class: `frame ${shape}`, "data-frame": true, "data-position": position });
}

/**
 * Draw a frame into its element.
 * @param {HTMLElement} element
 * @param {import("./model.js").Frame} frame
 * @param {boolean} arrives whether its picture came just now and develops
 * @param {boolean} [loads] whether its picture is fetched now; else `loadPicture` does so
 */
export function drawFrame(element, frame, arrives, loads = true) {
  element.dataset.state = frame.state;
  element.dataset.position = String(frame.position);
  element.dataset.mark = mark(frame);
  element.toggleAttribute("data-retried", Boolean(retry(frame)));
  element.toggleAttribute("data-chosen", Boolean(frame.picture && chosen.has(frame.picture.attach_id)));
  if (frame.picture) element.replaceChildren(link(element, frame.picture, arrives, loads));
  else element.replaceChildren(...said(frame));
}

/** Fetch the picture of a frame that waits for it. @param {HTMLElement} element */
export function loadPicture(element) {
  const image = element.querySelector("img[data-src]");
  if (!image) return;
  image.src = image.dataset.src;
  delete image.dataset.src;
}

/** Fetch no more for a frame that leaves the page. @param {HTMLElement} element */
export function forgetPicture(element) {
  const image = element.querySelector("img[src]");
  if (image && !image.complete) image.removeAttribute("src");
}

/** Take over a frame that the server drew, without touching its picture. */
export function adoptFrame(element, frame) {
  const drawn = element.querySelector("a");
  if (!frame.picture || !drawn) return drawFrame(element, frame, false);
  element.dataset.mark = mark(frame);
  const image = drawn.querySelector("img");
  healing(image, frame.picture);
  if (image.complete && !image.naturalWidth && image.currentSrc) image.dispatchEvent(new Event("error"));
}

function link(element, picture, arrives, loads) {
  const alt = `Picture ${picture.ordinal}${chosen.has(picture.attach_id) ? ", chosen" : ""}`;
  const image = el("img", { alt, loading: "lazy", decoding: "async" });
  element.classList.remove("gone", "developing");
  element.classList.toggle("undeveloped", arrives);
  healing(image, picture);
  if (loads) image.src = picture.thumbnail_url;
  else image.dataset.src = picture.thumbnail_url;
  return el("a", { href: picture.url, tabindex: -1 }, image);
}

/** Develop a picture when it is there. Addresses hold for a day; one that is too old is asked for anew. */
function healing(image, picture) {
  const classes = () => image.closest("li")?.classList;
  const again = () => {
    image.src = picture.thumbnail_url;
    image.closest("a")?.setAttribute("href", picture.url);
  };
  image.addEventListener("load", () => classes()?.replace("undeveloped", "developing"));
  image.addEventListener("animationend", () => classes()?.remove("developing"));
  image.addEventListener("error", async () => {
    classes()?.add("undeveloped");
    try {
      if (await renewed(picture)) again();
      else classes()?.add("gone");
    } catch {
      whenFound(again);
    }
  });
}

function said(frame) {
  if (frame.state === "dropped") return [];
  if (frame.state === "waiting") return [el("span", { class: "says", "aria-hidden": "true" }, String(frame.position))];
  if (frame.state === "making" && !retry(frame)) {
    const words = `Picture ${frame.ordinal ?? frame.position} is being made`;
    return [el("span", { class: "says" }, el("span", { class: "visually-hidden" }, words))];
  }
  const says = el("span", { class: "says", role: "img", tabindex: -1, "aria-label": frameWords(frame), "data-tip": true });
  if (frame.state === "missed") says.append(...(frame.again ? ["retry", el("br"), String(frame.round + 1)] : ["missed"]));
  return [says];
}
