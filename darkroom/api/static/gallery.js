/**
 * All frames of a large stage: only those near the screen are in the page, each at the place that it would have among
 * all of them, so that thousands scroll like a few.
 */

import { adoptFrame, drawFrame, forgetPicture, loadPicture, mark, newFrame } from "./frame.js";

/** Screens above and below the visible one that have frames. */
const AROUND = 1;
/** Pixels that a page moves from one of the browser's frames to the next while somebody looks at it. */
const SLOW = 10;
/** Frames of the browser that have to be so slow: what rushes by is not fetched. */
const SETTLED = 6;

const STOP = ":scope > a, :scope > [data-tip]";

export class Gallery {
  /** The frames in the page, by position. @type {Map<number, HTMLElement>} */
  frames = new Map();
  #columns = 1;
  #row = 1;
  #column = 1;
  #shown = "";
  #scrolledTo = 0;
  #slow = 0;
  #beat = null;
  #near = false;

  /**
   * @param {HTMLElement} list of frames; those in it are taken over
   * @param {string} shape class of a frame
   * @param {{count: () => number, frame: (position: number) => import("./model.js").Frame, seen: () => void}} stage
   *   `seen` is called once the list comes near the screen for the first time
   */
  constructor(list, shape, stage) {
    this.list = list;
    this.shape = shape;
    this.stage = stage;
    for (const element of list.children) {
      adoptFrame(element, stage.frame(Number(element.dataset.position)));
      this.frames.set(Number(element.dataset.position), element);
    }
    list.classList.add("gallery");
    this.resizing = new ResizeObserver(() => this.#arrange());
    this.resizing.observe(list);
    this.nearing = new IntersectionObserver(([entry]) => this.#comeNear(entry.isIntersecting), { rootMargin: "100%" });
    this.nearing.observe(list);
    this.scrolling = () => this.#scroll();
    this.#arrange();
  }

  /** Draw what has changed. @param {boolean} arriving whether new pictures came just now, and develop */
  draw(arriving) {
    this.#arrange();
    for (const [position, element] of this.frames) {
      const frame = this.stage.frame(position);
      if (element.dataset.mark !== mark(frame)) redraw(element, frame, arriving);
    }
  }

  /** Leave the list empty. */
  close() {
    this.#watch(false);
    this.resizing.disconnect();
    this.nearing.disconnect();
    this.frames.clear();
    this.list.classList.remove("gallery");
    this.list.style.height = "";
    this.list.replaceChildren();
  }

  /** What can have the focus in a frame, which is put into the page. @param {number} position */
  reach(position) {
    const element = this.frames.get(position) ?? this.#put(position);
    loadPicture(element);
    return element.querySelector(STOP);
  }

  /** The stop that a key leads to from a frame; null when it leads out of the list. @param {string} key @param {Element} from */
  target(key, from) {
    const at = Number(from.closest("[data-frame]").dataset.position);
    const last = this.stage.count() - 1;
    const [to, step] = {
      ArrowRight: [at + 1, 1],
      ArrowLeft: [at - 1, -1],
      Home: [0, 1],
      End: [last, -1],
      ArrowDown: [at + this.#columns, 1],
      ArrowUp: [at - this.#columns, -1],
    }[key] ?? [-1, -1];
    for (let position = to; position >= 0 && position <= last; position += step) {
      const { picture, state } = this.stage.frame(position);
      if (picture || state === "missed" || state === "refused") return this.reach(position);
    }
    return null;
  }

  /** Measure a frame and the list, and put every frame in its place. */
  #arrange() {
    const sample = this.frames.get(0) ?? this.list.firstElementChild ?? (this.stage.count() ? this.#put(0) : null);
    if (!sample) return;
    const { width, height } = sample.getBoundingClientRect();
    const { marginLeft, marginRight } = getComputedStyle(sample);
    const gap = parseFloat(getComputedStyle(this.list).getPropertyValue("--frame-gap"));
    if (!width || !this.list.clientWidth) return;
    this.#row = height + gap;
    this.#column = width + parseFloat(marginLeft) + parseFloat(marginRight) + gap;
    const columns = Math.max(1, Math.floor((this.list.clientWidth + gap + 0.5) / this.#column));
    const moved = columns !== this.#columns;
    this.#columns = columns;
    const rows = Math.ceil(this.stage.count() / columns);
    const high = `${Math.max(0, rows * this.#row - gap)}px`;
    if (this.list.style.height !== high) this.list.style.height = high;
    if (moved || this.#shown === "") for (const [position, element] of this.frames) this.#place(element, position);
    this.#shown = "";
    this.#fill();
    this.#load();
  }

  #place(element, position) {
    const x = (position % this.#columns) * this.#column;
    const y = Math.floor(position / this.#columns) * this.#row;
    element.style.transform = `translate(${x}px, ${y}px)`;
    element.setAttribute("aria-posinset", String(position + 1));
    element.setAttribute("aria-setsize", String(this.stage.count()));
  }

  /** Have the frames near the screen in the page, and no others. */
  #fill() {
    const { top } = this.list.getBoundingClientRect();
    const around = AROUND * window.innerHeight;
    const rowAt = (y) => Math.min(Math.max(0, Math.floor(y / this.#row)), Math.ceil(this.stage.count() / this.#columns));
    const from = rowAt(-top - around) * this.#columns;
    const to = Math.min(this.stage.count(), (rowAt(window.innerHeight - top + around) + 1) * this.#columns);
    const shown = `${from} ${to}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    for (const [position, element] of this.frames) {
      if ((position >= from && position < to) || element.contains(document.activeElement)) continue;
      forgetPicture(element);
      element.remove();
      this.frames.delete(position);
    }
    let before = null;
    for (let position = from; position < to; position += 1) before = this.frames.get(position) ?? this.#put(position, before);
  }

  #put(position, before = null) {
    const element = newFrame(this.shape, position);
    drawFrame(element, this.stage.frame(position), false, false);
    this.#place(element, position);
    this.frames.set(position, element);
    // In the order of their places, for whoever reads or tabs through them.
    if (before) before.after(element);
    else this.list.insertBefore(element, [...this.list.children].find((other) => Number(other.dataset.position) > position) ?? null);
    return element;
  }

  #comeNear(near) {
    if (near && !this.#near) {
      this.#near = true;
      this.stage.seen();
    }
    this.#watch(near);
  }

  #watch(on) {
    window.removeEventListener("scroll", this.scrolling);
    if (on) window.addEventListener("scroll", this.scrolling, { passive: true });
    if (on) this.#scroll();
  }

  #scroll() {
    this.#fill();
    this.#beat ??= requestAnimationFrame(() => this.#settle());
  }

  /** With every frame of the browser, until the page has come to rest. */
  #settle() {
    const moved = Math.abs(window.scrollY - this.#scrolledTo);
    this.#scrolledTo = window.scrollY;
    this.#slow = moved < SLOW ? this.#slow + 1 : 0;
    const settled = this.#slow >= SETTLED;
    if (settled) this.#load();
    this.#beat = settled && !moved ? null : requestAnimationFrame(() => this.#settle());
  }

  #load() {
    for (const element of this.frames.values()) loadPicture(element);
  }
}

/** Draw a frame anew; one that had the focus keeps it. */
export function redraw(element, frame, arriving) {
  const focused = element.contains(document.activeElement);
  drawFrame(element, frame, arriving);
  if (focused) element.querySelector(STOP)?.focus({ preventScroll: true });
}
