/** A job's name, and the form that changes it. */

import { ask } from "./ask.js";
import { say } from "./dom.js";

export class Naming {
  /**
   * @param {HTMLElement} root
   * @param {() => string} address of the job
   * @param {(view: object) => void} take what the server says of the job then
   * @param {(words: string) => void} complain
   */
  constructor(root, address, take, complain) {
    this.shown = root.querySelector("[data-name]");
    this.details = root.querySelector("[data-rename]");
    this.summary = this.details.querySelector("summary");
    this.field = this.details.querySelector("input");
    this.address = address;
    this.take = take;
    this.complain = complain;
    this.details.addEventListener("toggle", () => this.details.open && this.field.select());
    this.details.addEventListener("keydown", (event) => event.key === "Escape" && this.#close());
    this.details.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#rename();
    });
  }

  /** @param {string|null} name */
  draw(name) {
    say(this.shown, name ?? "");
    this.shown.hidden = !name;
    say(this.summary, name ? "Rename" : "Name this job");
    // What somebody is writing stays.
    if (!this.details.open) this.field.value = name ?? "";
  }

  async #rename() {
    this.complain("");
    try {
      this.take(await ask(this.address(), { method: "PATCH", json: { name: this.field.value } }));
      this.#close();
    } catch (error) {
      this.complain(`${error.message}.`);
    }
  }

  #close() {
    this.details.open = false;
    this.summary.focus();
  }
}
