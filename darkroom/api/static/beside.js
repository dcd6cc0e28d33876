/** The references of a stage beside its result on the light table; one of them large, to compare. */

import { el } from "./dom.js";
import { renewed } from "./pictures.js";

export class Beside {
  #stage = null;
  /** Which one is large; it stays so from picture to picture of its stage. @type {number|null} */
  #large = null;

  /** @param {HTMLElement} view gets the class `referenced` while there are any, and `comparing` while one is large */
  constructor(view) {
    this.view = view;
    this.image = el("img", { alt: "", draggable: "false", hidden: true });
    this.list = el("ul", {});
    this.root = el("div", { class: "beside", role: "group", "aria-label": "References", hidden: true }, this.image, this.list);
  }

  /** @param {import("./model.js").Stage} stage whose picture is shown */
  show(stage) {
    if (stage === this.#stage) return;
    this.#stage = stage;
    this.root.hidden = !stage.references.length;
    this.view.classList.toggle("referenced", !this.root.hidden);
    this.list.replaceChildren(...stage.references.map((reference, at) => el("li", {}, this.#button(reference, at))));
    this.#enlarge(null);
  }

  /** Make the large one small again; whether one was. */
  close() {
    if (this.#large === null) return false;
    this.#enlarge(null);
    return true;
  }

  #button(reference, at) {
    const name = reference.name ?? `Reference ${at + 1}`;
    const image = el("img", { src: reference.thumbnail_url, alt: "", draggable: "false" });
    renewing(image, reference, "thumbnail_url");
    const enlarge = () => this.#enlarge(at === this.#large ? null : at);
    return el("button", { type: "button", "aria-pressed": "false", "aria-label": `Enlarge ${name}`, title: name, onclick: enlarge }, image);
  }

  #enlarge(at) {
    this.#large = at;
    this.view.classList.toggle("comparing", at !== null);
    this.image.hidden = at === null;
    this.list.querySelectorAll("button").forEach((button, index) => button.setAttribute("aria-pressed", String(index === at)));
    if (at === null) return this.image.removeAttribute("src");
    const reference = this.#stage.references[at];
    this.image.alt = reference.name ?? `Reference ${at + 1}`;
    this.image.src = reference.url;
    renewing(this.image, reference, "url");
  }
}

/** Ask once for a new address where the old one does not serve any more. */
function renewing(image, reference, which) {
  const again = async () => {
    if (await renewed(reference).catch(() => false)) image.src = reference[which];
  };
  image.addEventListener("error", again, { once: true });
}
