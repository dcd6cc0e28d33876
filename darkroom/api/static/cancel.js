/** What a cancel would do, in one sentence with numbers, before it is done. */

import { el, say } from "./dom.js";

export class CancelDialog {
  /** @param {() => string} sentence @param {() => void} cancel */
  constructor(sentence, cancel) {
    this.sentence = sentence;
    this.words = el("p", { id: "cancel-words" });
    this.dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "cancel-title", "aria-describedby": "cancel-words" },
      el("h2", { id: "cancel-title" }, "Cancel this job?"),
      this.words,
      el(
        "div",
        { class: "actions" },
        el("button", { class: "button primary", type: "button", onclick: () => this.#end(cancel) }, "Cancel job"),
        el("button", { class: "button", type: "button", autofocus: true, onclick: () => this.#end() }, "Keep running"),
      ),
    );
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.#end());
    document.body.append(this.dialog);
  }

  /** Ask; the focus returns by itself where it was. */
  open() {
    this.draw();
    this.dialog.showModal();
  }

  /** The numbers go on changing while somebody thinks. */
  draw() {
    say(this.words, this.sentence());
  }

  /** Nothing is left to be cancelled. */
  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #end(then) {
    this.dialog.close();
    then?.();
  }
}
