/** One stage of the order form. */

import { el, ratioClass, say } from "./dom.js";
import { quantityOf } from "./draft.js";
import { References } from "./references.js";
import { count } from "./words.js";

/** Browsers that do not let a field grow with its text are helped. */
const GROWS = CSS.supports("field-sizing", "content");

let made = 0;

export class StageCard {
  /** Fields whose mistakes are said: those that were left, and all once somebody has tried to order. */
  #said = new Set();

  /**
   * @param {import("./draft.js").DraftStage} stage kept up to date
   * @param {{shapes: string[], most: number, limits: import("./draft.js").Limits, priceOf: (stage: object) => number}} can
   * @param {{changed: () => void, remove: (card: StageCard) => void, duplicate: (card: StageCard) => void,
   *   move: (card: StageCard, by: number) => void, take: (files: File[]) => File[]}} tell `take` keeps
   *   the files that are no references of this stage, and gives the others
   */
  constructor(stage, can, tell) {
    this.stage = stage;
    this.can = can;
    this.tell = tell;
    this.id = `card-${(made += 1)}`;
    this.root = document.getElementById("stage-card").content.cloneNode(true).firstElementChild;
    this.prompt = this.#field("prompt");
    this.quantity = this.#field("quantity");
    this.quantity.max = String(can.limits.images_per_stage);
    this.prompt.value = stage.prompt;
    this.quantity.value = stage.quantity;
    this.#shapes();
    this.references = new References(this.root.querySelector("[data-references]"), stage, {
      most: can.most, id: this.id, changed: () => tell.changed(),
    });
    for (const [doing, wish] of Object.entries({
      remove: () => tell.remove(this),
      duplicate: () => tell.duplicate(this),
      earlier: () => tell.move(this, -1),
      later: () => tell.move(this, 1),
    })) {
      this.#button(doing).addEventListener("click", wish);
    }
    this.root.querySelector("[data-less]").addEventListener("click", () => this.#step(-1));
    this.root.querySelector("[data-more]").addEventListener("click", () => this.#step(1));
    this.root.addEventListener("keydown", (event) => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!by || !event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      tell.move(this, by);
    });
    this.#takeFiles();
  }

  /** Show it as what all stages of a table have in common. @param {{quantity: boolean}} needed */
  share({ quantity }) {
    this.root.querySelector("h2").textContent = "For all stages";
    this.root.querySelector("[data-stage-price]").textContent = "";
    this.#button("duplicate").hidden = true;
    this.root.querySelector("[data-how-many]").hidden = !quantity;
    this.root.querySelector("[data-for=quantity]").textContent = "Pictures per stage";
  }

  /** @param {number} index @param {number} of how many */
  number(index, of) {
    const title = this.root.querySelector("h2");
    title.id = `${this.id}-title`;
    title.textContent = `Stage ${index + 1}`;
    this.root.setAttribute("aria-labelledby", title.id);
    this.#grow();
    const words = { earlier: "Move up", later: "Move down", duplicate: "Duplicate", remove: "Remove" };
    for (const [doing, said] of Object.entries(words)) {
      const button = this.#button(doing);
      button.hidden = of === 1 && doing !== "duplicate";
      button.setAttribute("aria-label", `${said} stage ${index + 1}`);
    }
    this.#button("earlier").disabled = index === 0;
    this.#button("later").disabled = index === of - 1;
  }

  /** Show the price. */
  draw() {
    const quantity = quantityOf(this.stage.quantity);
    const price = quantity ? count(quantity * this.can.priceOf(this.stage), "credit", "credits") : "";
    say(this.root.querySelector("[data-stage-price]"), price);
  }

  /**
   * Say what is wrong at its field.
   * @param {import("./draft.js").Wrong[]} wrongs of this stage
   * @param {boolean} all also of fields that nobody has left yet
   */
  say(wrongs, all) {
    for (const line of this.root.querySelectorAll("[data-wrong]")) {
      const field = line.dataset.wrong;
      if (field === "references" && !wrongs.some((wrong) => wrong.field === field)) continue;
      if (all) this.#said.add(field);
      const wrong = wrongs.find((one) => one.field === field);
      const words = wrong && (this.#said.has(field) || wrong.fromServer) ? wrong.words : "";
      say(line, words);
      line.hidden = !words;
      this.root.querySelector(`[data-field="${field}"]`)?.setAttribute("aria-invalid", String(Boolean(words)));
    }
  }

  /** Put the cursor into a field. @param {string} [field] */
  focus(field = "prompt") {
    const target = this.root.querySelector(`[data-field="${field}"]`) ?? this.root.querySelector(":checked, input[type=file]");
    target.focus();
    this.root.scrollIntoView({ block: "nearest" });
  }

  /** After a move: a button that can do no more gives the focus to its opposite. @param {Element} had the focus */
  keepFocus(had) {
    const [earlier, later] = [this.#button("earlier"), this.#button("later")];
    if (had === earlier && earlier.disabled) later.focus();
    if (had === later && later.disabled) earlier.focus();
    this.root.scrollIntoView({ block: "nearest" });
  }

  /** Put text where the cursor is in the prompt. @param {string} text */
  insert(text) {
    const { selectionStart, selectionEnd } = this.prompt;
    this.prompt.setRangeText(text, selectionStart, selectionEnd, "end");
    this.prompt.dispatchEvent(new Event("input"));
    this.prompt.focus();
  }

  #button(doing) {
    return this.root.querySelector(`[data-${doing}]`);
  }

  #field(name) {
    const field = this.root.querySelector(`[data-field="${name}"]`);
    const wrong = this.root.querySelector(`[data-wrong="${name}"]`);
    field.id = `${this.id}-${name}`;
    wrong.id = `${field.id}-wrong`;
    field.setAttribute("aria-describedby", wrong.id);
    this.root.querySelector(`[data-for="${name}"]`).htmlFor = field.id;
    field.addEventListener("input", () => {
      this.stage[name] = field.value;
      // An empty prompt is no mistake until somebody orders; a number that cannot be is one at once.
      if (field.value) this.#said.add(name);
      this.#grow();
      this.tell.changed();
    });
    return field;
  }

  #grow() {
    if (GROWS) return;
    this.prompt.style.height = "auto";
    this.prompt.style.height = `${this.prompt.scrollHeight + 2}px`;
  }

  #step(by) {
    const now = quantityOf(this.stage.quantity) ?? 0;
    const next = Math.min(Math.max(1, now + by), this.can.limits.images_per_stage);
    this.quantity.value = this.stage.quantity = String(next);
    this.#said.add("quantity");
    this.tell.changed();
  }

  #shapes() {
    const shapes = this.root.querySelector("[data-shapes]");
    // An order that is ordered again may name a provider with other ratios.
    for (const ratio of new Set([...this.can.shapes, this.stage.aspect_ratio])) {
      const input = el("input", { type: "radio", name: `${this.id}-shape`, value: ratio, checked: ratio === this.stage.aspect_ratio });
      input.addEventListener("change", () => {
        this.stage.aspect_ratio = ratio;
        this.tell.changed();
      });
      shapes.append(el("label", { class: ratioClass(ratio) }, input, el("span", { class: "outline", "aria-hidden": "true" }), ratio));
    }
  }

  /** Pictures may be dropped anywhere on the card, and pasted into it. */
  #takeFiles() {
    const { root } = this;
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    root.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      root.classList.add("over");
    });
    root.addEventListener("dragleave", (event) => root.contains(event.relatedTarget) || root.classList.remove("over"));
    root.addEventListener("drop", (event) => {
      root.classList.remove("over");
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      this.references.add(this.tell.take([...event.dataTransfer.files]));
    });
    root.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      this.references.add(this.tell.take(files));
    });
  }
}
