/** A stage on the page: its words, its numbers, and the frames that develop. */

import { breath, el, ratioClass, say } from "./dom.js";
import { adoptFrame, drawFrame, mark, newFrame } from "./frame.js";
import { setLine } from "./line.js";
import { NEWEST } from "./model.js";
import { number, stageReason, stageStanding } from "./words.js";

/** Frames that are drawn together, and skipped together while they are out of sight. */
const CHUNK = 200;

export class Strip {
  /** Whether all frames are shown of a stage that shows its newest ones. */
  #open = false;
  /** Positions of the newest, in the order of their elements. @type {number[]} */
  #newest = [];
  /** Which of them makes room for the next picture: the oldest one, so that nothing else moves. */
  #oldest = 0;
  #chunk = null;

  /**
   * @param {HTMLElement} root as the server drew it
   * @param {import("./model.js").Stage} stage
   * @param {import("./model.js").Job} job
   * @param {() => Promise<void>} fetchEarlier gets the pictures that came before those that are held
   */
  constructor(root, stage, job, fetchEarlier) {
    this.root = root;
    this.stage = stage;
    this.job = job;
    this.fetchEarlier = fetchEarlier;
    this.shape = ratioClass(stage.aspectRatio);
    this.list = root.querySelector("[data-frames]");
    this.line = root.querySelector("[data-line]");
    this.shown = root.querySelector("[data-more-words]");
    this.download = root.querySelector("[data-stage-archive]");
    /** By position: of the frame, or in the order pictures came. @type {Map<number, HTMLElement>} */
    this.frames = new Map();
    for (const element of this.list.children) {
      const position = Number(element.dataset.position);
      adoptFrame(element, this.#frame(position));
      this.frames.set(position, element);
    }
    if (stage.whole) return;
    this.#newest = [...this.frames.keys()];
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
    if (this.stage.whole || this.#open) this.#drawAll(arriving);
    else this.#drawNewest(arriving);
    if (this.all) this.#sayWhatIsShown();
    this.#keepOneStop();
  }

  /** What shows a picture, if it is on the page. @param {import("./model.js").Picture} picture */
  elementOf(picture) {
    const position = this.#framesAreTrue ? picture.position : this.stage.arrivalOf(picture);
    return this.frames.get(position)?.querySelector("a") ?? null;
  }

  /** The picture that an element shows. @param {Element} element within a frame */
  pictureOf(element) {
    const frame = element.closest("[data-frame]");
    return frame ? this.#frame(Number(frame.dataset.position)).picture : null;
  }

  /** Whether positions are those of frames; else pictures stand in the order they came. */
  get #framesAreTrue() {
    return this.stage.placed && (this.stage.whole || this.#open);
  }

  /** One above the last position that has a frame. */
  get #end() {
    return this.#framesAreTrue ? this.stage.view.quantity : this.stage.earlier + this.stage.arrived.length;
  }

  #frame(position) {
    if (this.#framesAreTrue) return this.stage.frameAt(position, this.job);
    const picture = this.stage.arrived[position - this.stage.earlier] ?? null;
    const state = picture ? "delivered" : "waiting";
    return { position, ordinal: picture?.ordinal ?? null, state, round: picture?.round ?? 0, reason: null, again: false, picture };
  }

  #drawAll(arriving) {
    for (const [position, element] of this.frames) {
      const frame = this.#frame(position);
      if (element.dataset.mark === mark(frame)) continue;
      const focused = element.contains(document.activeElement);
      drawFrame(element, frame, arriving);
      if (focused) element.querySelector("a, [data-tip]")?.focus({ preventScroll: true });
    }
    if (this.#open && !this.loading) this.#append(this.#end, arriving);
  }

  #drawNewest(arriving) {
    const end = this.#end;
    const drawn = this.#newest.length ? Math.max(...this.#newest) : -1;
    for (let position = Math.max(drawn + 1, end - NEWEST); position < end; position += 1) {
      let element;
      if (this.#newest.length < NEWEST) {
        element = newFrame(this.shape, position);
        this.list.append(element);
        this.#newest.push(position);
      } else {
        const oldest = this.#newest[this.#oldest];
        element = this.frames.get(oldest);
        this.frames.delete(oldest);
        this.#newest[this.#oldest] = position;
        this.#oldest = (this.#oldest + 1) % NEWEST;
      }
      this.frames.set(position, element);
      drawFrame(element, this.#frame(position), arriving);
    }
  }

  #append(to, arriving) {
    for (let position = this.frames.size; position < to; position += 1) {
      if (position % CHUNK === 0) this.#beginChunk(position);
      const element = newFrame(this.shape, position);
      drawFrame(element, this.#frame(position), arriving);
      this.#chunk.append(element);
      this.frames.set(position, element);
    }
  }

  #beginChunk(position) {
    const name = `${number(position)} to ${number(Math.min(position + CHUNK, this.stage.view.quantity) - 1)}`;
    this.#chunk = el("ol", { class: "frames", "aria-label": `Pictures ${name}` });
    this.list.parentElement.append(el("div", { class: "chunk" }, el("h3", {}, name), this.#chunk));
  }

  #sayWhatIsShown() {
    const { completed, quantity } = this.stage.view;
    const pictures = this.stage.placed ? quantity : completed;
    this.all.hidden = !this.#open && (!completed || pictures <= this.frames.size);
    say(this.all, this.#open ? "show newest only" : `show all ${number(pictures)}`);
    if (this.loading) say(this.shown, "loading …");
    else if (this.#open) say(this.shown, "showing all");
    else say(this.shown, this.frames.size ? `newest ${number(this.frames.size)}` : "no pictures yet");
  }

  async #toggle() {
    this.#open = !this.#open;
    this.all.setAttribute("aria-expanded", String(this.#open));
    this.frames.clear();
    this.#newest = [];
    this.#oldest = 0;
    this.list.replaceChildren();
    this.list.hidden = this.#open;
    for (const chunk of this.root.querySelectorAll(".chunk")) chunk.remove();
    if (this.#open) await this.#showAll();
    this.draw(false);
  }

  async #showAll() {
    this.loading = true;
    this.#sayWhatIsShown();
    try {
      await this.fetchEarlier();
      while (this.#open && this.frames.size < this.#end) {
        this.#append(Math.min(this.frames.size + CHUNK, this.#end), false);
        await breath();
      }
    } catch {
      // The line at the top says why; the newest ones are held in any case.
      this.loading = false;
      if (this.#open) await this.#toggle();
    } finally {
      this.loading = false;
    }
  }

  /** One stop for the Tab key a strip; arrows go on from there (keys.js). */
  #keepOneStop() {
    if (this.root.querySelector('.frame > [tabindex="0"]')) return;
    this.root.querySelector(".frame > a, .frame > [data-tip]")?.setAttribute("tabindex", "0");
  }
}
