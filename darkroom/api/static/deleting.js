/** What a delete would remove, before it is done. */

import { ask } from "./ask.js";
import { el } from "./dom.js";
import { at } from "./root.js";
import { deletionSentence } from "./words.js";

export class DeleteDialog {
  /** @param {() => {self: string, deletion: string}} urls of the job @param {(words: string) => void} complain */
  constructor(urls, complain) {
    this.urls = urls;
    this.complain = complain;
    this.words = el("p", { id: "delete-words" });
    this.button = el("button", { class: "button primary", type: "button", onclick: () => this.#delete() }, "Delete job");
    this.dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "delete-title", "aria-describedby": "delete-words" },
      el("h2", { id: "delete-title" }, "Delete this job?"),
      this.words,
      el(
        "div",
        { class: "actions" },
        this.button,
        el("button", { class: "button", type: "button", autofocus: true, onclick: () => this.dialog.close() }, "Keep it"),
      ),
    );
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    document.body.append(this.dialog);
  }

  /** Ask what would go, and say it. */
  async open() {
    this.complain("");
    try {
      const deletion = await ask(this.urls().deletion);
      this.words.textContent = deletionSentence(deletion);
      this.button.hidden = Boolean(deletion.refusal);
      this.dialog.showModal();
    } catch (error) {
      this.complain(`${error.message}.`);
    }
  }

  async #delete() {
    this.button.setAttribute("aria-disabled", "true");
    try {
      await ask(this.urls().self, { method: "DELETE" });
      location.assign(at("/jobs"));
    } catch (error) {
      this.dialog.close();
      this.complain(`${error.message}.`);
    } finally {
      this.button.removeAttribute("aria-disabled");
    }
  }
}
