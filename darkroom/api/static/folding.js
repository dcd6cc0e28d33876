/** Many stages: each strip shows its first row until somebody wants more, and a list leads to any of them. */

import { el, say } from "./dom.js";
import { capital, number, stageStanding } from "./words.js";

/** Frames of a folded strip; `darkroom/api/strips.py` draws as many. */
export const FOLDED = 16;

/** What unfolds a strip and folds it again. @param {HTMLElement} root of the strip @param {(folded: boolean) => void} fold */
export function folder(root, fold) {
  const button = root.querySelector("[data-fold]");
  button.hidden = false;
  button.addEventListener("click", () => {
    const folded = !("folded" in root.dataset);
    root.toggleAttribute("data-folded", folded);
    fold(folded);
    // The strip shrinks: what was pressed must not be out of sight.
    if (folded) root.scrollIntoView({ block: "nearest" });
  });
  return {
    /** @param {number} frames how many there are when it is not folded */
    draw: (frames) => {
      const folded = "folded" in root.dataset;
      button.setAttribute("aria-expanded", String(!folded));
      say(button, folded ? `Show ${number(frames)}` : "Show first row");
    },
  };
}

export class JumpList {
  #drawn = "";

  /** @param {HTMLElement} root @param {() => import("./model.js").Job} job @param {() => HTMLElement} strips */
  constructor(root, job, strips) {
    this.root = root;
    this.select = root.querySelector("select");
    this.job = job;
    this.strips = strips;
    // Labels tell how stages stand; they are written when somebody opens the list.
    for (const opens of ["focus", "pointerdown"]) this.select.addEventListener(opens, () => this.#write());
    this.select.addEventListener("change", () => this.#go(this.select.value));
  }

  /** Show it where there are many stages. */
  draw() {
    const { stages } = this.job();
    this.root.hidden = stages.size <= 8;
    if (!this.root.hidden && !this.#drawn) this.#write();
  }

  #write() {
    const options = [...this.job().stages.values()].map(({ index, view }) => [index, `${index + 1}. ${capital(view.label)}: ${number(view.completed)} of ${number(view.quantity)}, ${stageStanding(view)}`]);
    const now = options.join();
    if (now === this.#drawn) return;
    this.#drawn = now;
    const { value } = this.select;
    this.select.replaceChildren(el("option", { value: "" }, `Stage …`), ...options.map(([index, words]) => el("option", { value: index }, words)));
    this.select.value = value;
  }

  #go(index) {
    const strip = this.strips().querySelector(`[data-stage="${index}"]`);
    if (!strip) return;
    strip.scrollIntoView({ block: "start" });
    const heading = strip.querySelector("h2");
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    // What was skipped while it was out of sight has its own height now.
    requestAnimationFrame(() => strip.scrollIntoView({ block: "start" }));
    this.select.value = "";
  }
}
