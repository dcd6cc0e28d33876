/**
 * Who pays for an order: the user, or an organization that they are a member of. Shown where there is a choice.
 *
 * @typedef {{org_id: string, name: string, status: string, available: number}} Organization
 */

import { el } from "./dom.js";
import { payers, walletOf } from "./draft.js";

export class Payer {
  /**
   * @param {HTMLElement} root
   * @param {{available: number, organizations: Organization[]}} account
   * @param {(org_id: string|null) => void} choose
   */
  constructor(root, account, choose) {
    this.root = root;
    this.account = account;
    this.select = root.querySelector("select");
    this.select.addEventListener("change", () => choose(this.select.value || null));
  }

  /** @param {import("./draft.js").Draft} draft */
  draw(draft) {
    const offered = payers(this.account, draft);
    this.root.hidden = offered.length < 2;
    const shown = JSON.stringify(offered);
    // A list that is open must not change under the pointer.
    if (shown !== this.shown) {
      this.select.replaceChildren(...offered.map(({ value, words, disabled }) => el("option", { value, disabled }, words)));
    }
    this.shown = shown;
    this.select.value = draft.org_id ?? "";
  }

  /** What the chosen wallet has. @param {import("./draft.js").Draft} draft */
  available = (draft) => walletOf(this.account, draft).available;
}
