/** One picture, large, on black: arrows and swipe move on, Escape closes and gives the focus back. */

import { Beside } from "./beside.js";
import { el, icon, say } from "./dom.js";
import { facts } from "./facts.js";
import { renewed } from "./pictures.js";
import { capital } from "./words.js";

/** Pixels that a finger moves sideways for a swipe. */
const SWIPE = 48;

export class LightTable {
  #stage = null;
  #picture = null;
  #opener = null;
  #from = null;

  /**
   * @param {{sequence: () => {stage: import("./model.js").Stage, picture: import("./model.js").Picture}[],
   *   fetchUnheld: () => Promise<void>|null,
   *   elementOf: (stage: import("./model.js").Stage, picture: import("./model.js").Picture) => HTMLElement|null}} job
   */
  constructor(job) {
    this.job = job;
    this.#build();
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("close", () => this.#closed());
    // Escape first puts a large reference away.
    this.dialog.addEventListener("cancel", (event) => this.beside.close() && event.preventDefault());
    this.view.addEventListener("pointerdown", (event) => (this.#from = event.isPrimary ? event.clientX : null));
    this.view.addEventListener("pointerup", (event) => this.#swiped(event));
    this.view.addEventListener("pointercancel", () => (this.#from = null));
  }

  /** @param {import("./model.js").Stage} stage @param {import("./model.js").Picture} picture */
  open(stage, picture) {
    this.#opener = document.activeElement;
    this.#show(stage, picture);
    this.dialog.showModal();
    this.refresh();
    // Arrows work from the first moment, and no button is lit up.
    this.dialog.focus();
    // A strip that shows its newest pictures leads back to all of them.
    this.job.fetchUnheld()?.then(() => this.refresh()).catch(() => {});
  }

  /** More pictures have come: say so in the numbers, and let the last one lead on. */
  refresh() {
    if (!this.dialog.open) return;
    const sequence = this.job.sequence();
    const at = sequence.findIndex(({ picture }) => picture === this.#picture);
    this.earlier.disabled = at <= 0;
    this.later.disabled = at === sequence.length - 1;
    say(this.place, `${(at + 1).toLocaleString("en-US")} of ${sequence.length.toLocaleString("en-US")}`);
  }

  #build() {
    const button = (words, drawing, wish, kind) =>
      el("button", { class: kind, type: "button", "aria-label": words, onclick: wish }, icon(drawing));
    this.earlier = button("Previous picture", "M15 5l-7 7 7 7", () => this.#step(-1), "step before");
    this.later = button("Next picture", "M9 5l7 7-7 7", () => this.#step(1), "step after");
    this.image = el("img", { alt: "", draggable: "false" });
    this.gone = el("p", { class: "gone", hidden: true }, "This picture could not be loaded.");
    this.view = el("div", { class: "view" }, this.earlier, el("div", { class: "picture" }, this.image, this.gone), this.later);
    this.beside = new Beside(this.view);
    this.later.before(this.beside.root);
    this.name = el("h2", { id: "lighttable-name", "aria-live": "polite" });
    this.place = el("span", { class: "quiet number" });
    this.prompt = el("p", { class: "its-prompt", tabindex: "0", role: "region", "aria-label": "Prompt" });
    this.facts = el("dl", { class: "facts" });
    this.copyPicture = el("button", { class: "button", type: "button", onclick: () => this.#copyPicture() }, "Copy picture");
    this.copyPrompt = el("button", { class: "button", type: "button", onclick: () => this.#copyPrompt() }, "Copy prompt");
    this.download = el("a", { class: "button", download: true }, "Download");
    this.said = el("p", { class: "quiet", role: "status" });
    const words = el("div", { class: "words" }, el("div", { class: "name" }, this.name, this.place), this.prompt, this.facts);
    const doings = el("div", { class: "doings" }, this.said, this.copyPicture, this.copyPrompt, this.download);
    const below = el("div", { class: "below" }, words, doings);
    const close = button("Close", "M6 6l12 12M18 6L6 18", () => this.dialog.close(), "close");
    const attributes = { class: "lighttable dark", "data-lighttable": true, tabindex: -1, "aria-labelledby": this.name.id };
    this.dialog = el("dialog", attributes, this.view, below, close);
    document.body.append(this.dialog);
  }

  #show(stage, picture) {
    this.#stage = stage;
    this.#picture = picture;
    const name = `${capital(stage.view.label)}, picture ${picture.ordinal}`;
    this.#load(picture, name);
    this.beside.show(stage);
    say(this.name, name);
    say(this.prompt, stage.prompt);
    this.prompt.scrollTop = 0;
    this.#showFacts();
    this.download.href = `${picture.url}${picture.url.includes("?") ? "&" : "?"}download=true`;
    say(this.said, "");
    this.refresh();
  }

  #load(picture, name) {
    // The thumbnail is there already; the picture comes over it when it is.
    const { image, gone } = this;
    gone.hidden = true;
    image.alt = name;
    image.classList.add("before");
    image.src = picture.thumbnail_url;
    const large = new Image();
    large.onload = () => {
      if (this.#picture !== picture) return;
      image.src = large.src;
      image.classList.remove("before");
      this.#showFacts(`${large.naturalWidth} × ${large.naturalHeight}`);
      this.#loadNeighbours();
    };
    large.onerror = async () => {
      const lost = () => (gone.hidden = this.#picture !== picture);
      large.onerror = lost;
      if (await renewed(picture).catch(() => false)) large.src = picture.url;
      else lost();
    };
    large.src = picture.url;
  }

  #loadNeighbours() {
    for (const by of [1, -1]) {
      const next = this.#neighbour(by);
      if (next) new Image().src = next.picture.url;
    }
  }

  #showFacts(pixels = "") {
    this.facts.replaceChildren(
      ...facts(this.#picture, pixels).map(([term, text, kind]) =>
        el("div", {}, el("dt", {}, term), el("dd", { class: kind ?? null }, text)),
      ),
    );
  }

  #neighbour(by) {
    const sequence = this.job.sequence();
    return sequence[sequence.findIndex(({ picture }) => picture === this.#picture) + by] ?? null;
  }

  #step(by) {
    const next = this.#neighbour(by);
    if (next) this.#show(next.stage, next.picture);
    // A disabled button would lose the focus, and with it the keys.
    if (this.dialog.querySelector(":disabled:focus") || !this.dialog.contains(document.activeElement)) this.dialog.focus();
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.#step(by);
  }

  #swiped(event) {
    const moved = this.#from === null ? 0 : event.clientX - this.#from;
    this.#from = null;
    if (Math.abs(moved) > SWIPE) this.#step(moved < 0 ? 1 : -1);
  }

  async #copyPrompt() {
    await this.#copy(() => navigator.clipboard.writeText(this.#stage.prompt), "Prompt copied");
  }

  async #copyPicture() {
    // Clipboards take PNG only; made within the promise, so that the click still counts as the permission.
    await this.#copy(() => navigator.clipboard.write([new ClipboardItem({ "image/png": this.#png() })]), "Picture copied");
  }

  async #copy(write, done) {
    try {
      await write();
      say(this.said, done);
    } catch {
      say(this.said, "The browser does not allow copying");
    }
  }

  async #png() {
    const bitmap = await createImageBitmap(await (await fetch(this.#picture.url)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  #closed() {
    const opener = this.job.elementOf(this.#stage, this.#picture) ?? this.#opener;
    this.image.removeAttribute("src");
    this.#picture = null;
    opener?.focus();
    opener?.scrollIntoView({ block: "nearest" });
  }
}
