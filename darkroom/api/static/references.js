/** The references of a stage: sent as they are added, shown in their order, removable. */

import { ask, isOffline } from "./ask.js";
import { announce } from "./announce.js";
import { whenFound } from "./connection.js";
import { el, icon } from "./dom.js";
import { renewed } from "./pictures.js";
import { at } from "./root.js";

const KINDS = ["image/png", "image/jpeg", "image/webp"];
const LARGEST = 20_000_000;

export class References {
  /** Those being sent, and those the order has: in one list, in their order. */
  #items;
  #dragged = null;

  /**
   * @param {HTMLElement} root
   * @param {import("./draft.js").DraftStage} stage its `references` are kept up to date
   * @param {{most: number, id: string, changed: () => void}} how
   */
  constructor(root, stage, how) {
    this.root = root;
    this.stage = stage;
    this.how = how;
    this.list = root.querySelector("ol");
    this.wrong = root.querySelector("[data-wrong]");
    this.label = root.querySelector("[data-references-label]");
    this.label.id = `${how.id}-references`;
    this.list.setAttribute("aria-labelledby", this.label.id);
    this.#items = stage.references.map((reference) => ({ ...reference, preview: reference.thumbnail_url }));
    const input = el("input", { type: "file", accept: KINDS.join(), multiple: true, id: `${how.id}-file` });
    input.addEventListener("change", () => {
      this.add([...input.files]);
      input.value = "";
    });
    this.adder = el("li", { class: "add-reference" }, el("label", { for: input.id }, "Add references"), input);
    this.#draw();
  }

  /** Whether some are still on their way. */
  get sending() {
    return this.#items.some((item) => item.sending);
  }

  /** Resolves when none is on its way any more. */
  async sent() {
    await Promise.all(this.#items.map((item) => item.sending));
  }

  /** Send pictures, and add them at the end. @param {File[]} files */
  add(files) {
    this.#say("");
    for (const file of files) {
      const refusal = this.#refusal(file);
      if (refusal) {
        this.#say(refusal);
        continue;
      }
      const item = { name: file.name || "picture", preview: URL.createObjectURL(file) };
      item.sending = this.#send(item, file);
      this.#items.push(item);
    }
    this.#draw();
  }

  #refusal(file) {
    if (this.#items.length >= this.how.most) return `A stage can have at most ${this.how.most} references.`;
    if (!KINDS.includes(file.type)) return `${file.name} is not a PNG, JPEG or WebP picture.`;
    if (file.size > LARGEST) return `${file.name} is larger than 20 MB.`;
    return null;
  }

  async #send(item, file) {
    const form = new FormData();
    form.append("file", file);
    try {
      const { attach_id, thumbnail_url } = await ask(at("/api/attachments"), { method: "POST", form });
      Object.assign(item, { attach_id, thumbnail_url });
      announce(`${item.name} added`, true);
    } catch (error) {
      this.#items = this.#items.filter((other) => other !== item);
      this.#say(isOffline(error) ? `${item.name} was not uploaded: Darkroom is unreachable. Add it again.` : `${error.message}.`);
    }
    item.sending = null;
    this.#draw();
    this.#changed();
  }

  #move(item, to) {
    const items = this.#items.filter((other) => other !== item);
    items.splice(to, 0, item);
    this.#items = items;
    this.#draw();
    this.#changed();
  }

  #remove(item) {
    const at = this.#items.indexOf(item);
    this.#items.splice(at, 1);
    this.#say("");
    this.#draw();
    this.#changed();
    const next = this.list.children[Math.min(at, this.#items.length - 1)];
    (next?.querySelector("[data-do=remove]") ?? this.adder.querySelector("input")).focus();
    announce(`${item.name} removed`, true);
  }

  #changed() {
    this.stage.references = this.#items
      .filter((item) => item.attach_id)
      .map(({ attach_id, thumbnail_url, name, type }) => ({ attach_id, thumbnail_url, name, ...(type ? { type } : {}) }));
    this.how.changed();
  }

  #draw() {
    this.list.replaceChildren(...this.#items.map((item, at) => this.#element(item, at)));
    if (this.#items.length < this.how.most) this.list.append(this.adder);
  }

  #element(item, at) {
    const image = el("img", { src: item.preview, alt: `Reference ${at + 1}: ${item.name}`, draggable: "false" });
    image.addEventListener("error", () => this.#renew(item, image), { once: true });
    const step = (doing, words, drawing, disabled, wish) =>
      el("button", { type: "button", "data-do": doing, "aria-label": `${words}: ${item.name}`, disabled, onclick: wish }, icon(drawing));
    const moved = (by, doing) => () => {
      this.#move(item, at + by);
      const buttons = this.list.children[at + by];
      (buttons.querySelector(`[data-do=${doing}]:enabled`) ?? buttons.querySelector("button:enabled")).focus();
      announce(`${item.name} moved to position ${at + by + 1}`, true);
    };
    const steps = el(
      "div",
      { class: "steps" },
      step("earlier", "Move forward", "M15 5l-7 7 7 7", at === 0, moved(-1, "earlier")),
      step("later", "Move back", "M9 5l7 7-7 7", at === this.#items.length - 1, moved(1, "later")),
      step("remove", "Remove", "M6 6l12 12M18 6L6 18", false, () => this.#remove(item)),
    );
    const element = el("li", { class: item.sending ? "reference sending" : "reference", draggable: "true" }, image);
    element.append(el("p", {}, item.sending ? "uploading …" : item.name), steps);
    this.#letDrag(element, item);
    return element;
  }

  #letDrag(element, item) {
    element.addEventListener("dragstart", (event) => {
      this.#dragged = item;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", item.name);
    });
    element.addEventListener("dragend", () => (this.#dragged = null));
    element.addEventListener("dragover", (event) => {
      if (!this.#dragged || this.#dragged === item) return;
      event.preventDefault();
      element.classList.add("over");
    });
    element.addEventListener("dragleave", () => element.classList.remove("over"));
    element.addEventListener("drop", (event) => {
      if (!this.#dragged) return;
      event.preventDefault();
      event.stopPropagation();
      this.#move(this.#dragged, this.#items.indexOf(item));
    });
  }

  async #renew(item, image) {
    if (!item.attach_id) return;
    try {
      if (await renewed(item)) image.src = item.preview = item.thumbnail_url;
      else this.#say(`${item.name} is no longer available; remove it or add it again.`);
    } catch {
      whenFound(() => (image.src = item.preview));
    }
  }

  #say(words) {
    this.wrong.textContent = words;
    this.wrong.hidden = !words;
  }
}
