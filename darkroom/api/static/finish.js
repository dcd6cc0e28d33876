/** What an order is called, how large its pictures are drawn, and as which files they come. */

import { el } from "./dom.js";
import { FORMATS, sizes } from "./draft.js";
import { count } from "./words.js";

export class Finish {
  /**
   * @param {HTMLElement} root
   * @param {{prices: Object<string, number>, image_format: string}} account
   * @param {string[]} possible the sizes that the provider draws
   * @param {(field: "image_size"|"format"|"name", value: string|null) => void} choose null for the usual one
   */
  constructor(root, account, possible, choose) {
    this.account = account;
    this.possible = possible;
    [this.size, this.format] = root.querySelectorAll("select");
    this.sizes = root.querySelector("[data-sizes]");
    this.size.addEventListener("change", () => choose("image_size", this.size.value === "1K" ? null : this.size.value));
    this.name = root.querySelector("input");
    this.name.addEventListener("input", () => choose("name", this.name.value.trim() || null));
    const usual = account.image_format;
    this.format.replaceChildren(...Object.entries(FORMATS).map(([value, words]) => el("option", { value }, words)));
    this.format.addEventListener("change", () => choose("format", this.format.value === usual ? null : this.format.value));
  }

  /** @param {import("./draft.js").Draft} draft */
  draw(draft) {
    const offered = sizes(this.possible, draft);
    this.sizes.hidden = offered.length < 2;
    const options = offered.map((size) => `${size}, ${count(this.account.prices[size] ?? 0, "credit", "credits")} each`);
    const shown = options.join();
    // A list that is open must not change under the pointer.
    if (shown !== this.shown) {
      this.size.replaceChildren(...offered.map((value, at) => el("option", { value }, options[at])));
    }
    this.shown = shown;
    this.size.value = draft.whole?.image_size ?? "1K";
    if (document.activeElement !== this.name) this.name.value = draft.whole?.name ?? "";
    this.format.value = draft.whole?.format ?? this.account.image_format;
  }
}
