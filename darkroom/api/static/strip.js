/** A stage on the page: its words, its numbers, and the frames that develop. */

import { whenFound } from "./connection.js";
import { el, ratioClass, say } from "./dom.js";
import { adoptFrame, drawFrame, mark, newFrame } from "./frame.js";
import { FOLDED, folder } from "./folding.js";
import { Gallery, redraw } from "./gallery.js";
import { setLine } from "./line.js";
import { NEWEST } from "./model.js";
import { number, stageReason, stageStanding } from "./words.js";

/** Strips without frames, by their elements: they get them when somebody comes near. @type {Map<Element, Strip>} */
const far = new Map();
const nearing = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) far.get(target)?.comeNear();
}, { rootMargin: "100%" });

export class Strip {
  /** All frames of a large stage, while they are shown. @type {Gallery|null} */
  gallery = null;
  /** Whether somebody wants to see all frames of a stage that shows its newest ones. */
  #open = false;
  #loading = false;
  /** Positions of the newest, in the order of their elements. @type {number[]} */
  #newest = [];
  /** Which of them makes room for the next picture: the oldest one, so that nothing else moves. */
  #oldest = 0;

  /**
   * @param {HTMLElement} root as the server drew it
   * @param {import("./model.js").Stage} stage
   * @param {import("./model.js").Job} job
   * @param {() => Promise<void>} fetchUnheld gets the pictures of the stage that the page does not hold
   */
  constructor(root, stage, job, fetchUnheld) {
    this.root = root;
    this.stage = stage;
    this.job = job;
    this.fetchUnheld = fetchUnheld;
    this.shape = ratioClass(stage.aspectRatio);
    this.list = root.querySelector("[data-frames]");
    this.line = root.querySelector("[data-line]");
    this.shown = root.querySelector("[data-more-words]");
    this.download = root.querySelector("[data-stage-archive]");
    /** By position: of the frame, or in the order pictures came. @type {Map<number, HTMLElement>} */
    this.frames = new Map();
    this.folder = "folded" in root.dataset ? folder(root, () => this.#refold()) : null;
    this.far = this.#folded && !this.list.children.length;
    if (this.far) {
      far.set(root, this);
      nearing.observe(root);
    } else if (this.#wantsGallery) this.#showGallery();
    else this.#adopt();
    if (stage.whole) return;
    this.all = el("button", { class: "as-link", type: "button", "aria-expanded": "false", onclick: () => this.#toggle() });
    root.querySelector("[data-more]")?.append(this.all);
  }

  /** Draw what has changed. @param {boolean} arriving whether new pictures came just now, and develop */
  draw(arriving) {
    const { view } = this.stage;
    say(this.root.querySelector("[data-stage-count]"), `${number(view.completed)} of ${number(view.quantity)}`);
    say(this.root.querySelector("[data-stage-round]"), stageStanding(view));
    say(this.root.querySelector("[data-stage-reason]"), stageReason(view));
    setLine(this.line, [[view.completed, view.quantity]], this.job.over);
    this.download.hidden = !view.completed;
    if (this.all) this.#sayWhatIsShown();
    this.folder?.draw(this.stage.frames);
    if (this.far) return;
    if (this.#wantsGallery) this.#showGallery().draw(arriving);
    else if (this.#showsFirst) this.#drawFirst(arriving);
    else this.#drawNewest(arriving);
    if (this.all) this.#sayWhatIsShown();
    this.#keepOneStop();
  }

  /** Draw the frames, which were left out while the strip was far away. */
  comeNear() {
    if (!this.far) return;
    this.far = false;
    far.delete(this.root);
    nearing.unobserve(this.root);
    this.#fetchAll();
    this.draw(false);
  }

  /** What shows a picture, if it is on the page or can be put there. @param {import("./model.js").Picture} picture */
  elementOf(picture) {
    if (this.gallery) return this.gallery.reach(this.#placeOf(picture));
    const position = this.#showsFirst ? this.#placeOf(picture) : this.stage.arrivalOf(picture);
    return this.frames.get(position)?.querySelector("a") ?? null;
  }

  /** The picture that an element shows. @param {Element} element within a frame */
  pictureOf(element) {
    const frame = element.closest("[data-frame]");
    return frame ? this.#frame(Number(frame.dataset.position)).picture : null;
  }

  get #folded() {
    return "folded" in this.root.dataset;
  }

  /** Whether frames stand from the first on; else the newest pictures do. */
  get #showsFirst() {
    return this.stage.whole || this.stage.isOver(this.job) || (this.#open && !this.#loading);
  }

  get #wantsGallery() {
    return !this.stage.whole && !this.#folded && this.#showsFirst;
  }

  #placeOf(picture) {
    return this.stage.placed ? picture.position : this.stage.inOrder().indexOf(picture);
  }

  #frame(position) {
    if (this.stage.placed && this.#showsFirst) return this.stage.frameAt(position, this.job);
    const pictures = this.#showsFirst ? this.stage.inOrder() : this.stage.arrived;
    const picture = pictures[this.#showsFirst ? position : position - this.stage.unheld] ?? null;
    const state = picture ? "delivered" : "waiting";
    return { position, ordinal: picture?.ordinal ?? null, state, round: picture?.round ?? 0, reason: null, again: false, picture };
  }

  #adopt() {
    for (const element of this.list.children) {
      const position = Number(element.dataset.position);
      adoptFrame(element, this.#frame(position));
      this.frames.set(position, element);
    }
    if (!this.#showsFirst) this.#newest = [...this.frames.keys()];
  }

  #drawFirst(arriving) {
    if (this.#newest.length) this.#clear();
    const wanted = this.#folded ? Math.min(FOLDED, this.stage.frames) : this.stage.frames;
    for (let position = this.frames.size; position < wanted; position += 1) {
      const element = newFrame(this.shape, position);
      this.list.append(element);
      this.frames.set(position, element);
    }
    for (const [position, element] of this.frames) {
      const frame = this.#frame(position);
      if (element.dataset.mark !== mark(frame)) redraw(element, frame, arriving);
    }
  }

  #drawNewest(arriving) {
    if (this.gallery) this.#clear();
    const most = this.#folded ? FOLDED : NEWEST;
    const end = this.stage.unheld + this.stage.arrived.length;
    const drawn = this.#newest.length ? Math.max(...this.#newest) : -1;
    for (let position = Math.max(drawn + 1, end - most); position < end; position += 1) {
      let element;
      if (this.#newest.length < most) {
        element = newFrame(this.shape, position);
        this.list.append(element);
        this.#newest.push(position);
      } else {
        const oldest = this.#newest[this.#oldest];
        element = this.frames.get(oldest);
        this.frames.delete(oldest);
        this.#newest[this.#oldest] = position;
        this.#oldest = (this.#oldest + 1) % most;
      }
      this.frames.set(position, element);
      drawFrame(element, this.#frame(position), arriving);
    }
  }

  #showGallery() {
    if (this.gallery) return this.gallery;
    if (this.frames.size) this.#clear();
    this.gallery = new Gallery(this.list, this.shape, {
      count: () => this.stage.frames,
      frame: (position) => this.#frame(position),
      seen: () => this.#fetchAll(),
    });
    return this.gallery;
  }

  /** Leave no frame, so that the next drawing begins anew. */
  #clear() {
    this.gallery?.close();
    this.gallery = null;
    this.list.replaceChildren();
    this.frames.clear();
    this.#newest = [];
    this.#oldest = 0;
  }

  #refold() {
    this.comeNear();
    if (!this.#folded && this.stage.whole) this.#fetchAll();
    this.#clear();
    this.draw(false);
  }

  /** Get what the gallery lacks; where the connection is lost, once it is back. */
  #fetchAll() {
    this.fetchUnheld().catch(() => whenFound(() => this.#fetchAll()));
  }

  #sayWhatIsShown() {
    const { completed, quantity } = this.stage.view;
    const over = this.stage.isOver(this.job);
    this.all.hidden = over || this.#folded || (!this.#open && (!completed || (this.stage.placed ? quantity : completed) <= this.frames.size));
    this.all.setAttribute("aria-expanded", String(this.#open));
    say(this.all, this.#open ? "show newest only" : `show all ${number(this.stage.placed ? quantity : completed)}`);
    if (this.#loading || (this.gallery && this.stage.unheld)) say(this.shown, "loading …");
    else if (this.gallery) say(this.shown, completed ? "showing all" : "no pictures");
    else if (this.#showsFirst) say(this.shown, this.frames.size ? `first ${number(this.frames.size)}` : "no pictures");
    else say(this.shown, this.frames.size ? `newest ${number(this.frames.size)}` : "no pictures yet");
  }

  async #toggle() {
    this.#open = !this.#open;
    if (this.#open) await this.#load();
    this.draw(false);
  }

  async #load() {
    this.#loading = true;
    this.#sayWhatIsShown();
    try {
      await this.fetchUnheld();
    } catch {
      // The line at the top says why; the newest ones are held in any case.
      this.#open = false;
    } finally {
      this.#loading = false;
    }
  }

  /** One stop for the Tab key a strip; arrows go on from there (keys.js). */
  #keepOneStop() {
    if (this.root.querySelector('.frame > [tabindex="0"]')) return;
    this.root.querySelector(".frame > a, .frame > [data-tip]")?.setAttribute("tabindex", "0");
  }
}
