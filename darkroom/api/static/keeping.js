/** Where an order half written is kept: in this browser, until it was ordered. */

import { newDraft, readDraft } from "./draft.js";
import { at } from "./root.js";

const PLACE = "darkroom.order" + at("");

/** A key by which an order is made once, however often it is sent. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Without TLS, away from this machine, browsers leave that out.
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {import("./draft.js").Draft} */
export function keptDraft() {
  let kept = null;
  try {
    kept = localStorage.getItem(PLACE);
  } catch {
    // The browser keeps nothing for us; the order can be written all the same.
  }
  return readDraft(kept) ?? newDraft(newKey());
}

/** @param {import("./draft.js").Draft|null} draft null forgets it */
export function keepDraft(draft) {
  try {
    if (draft) localStorage.setItem(PLACE, JSON.stringify(draft));
    else localStorage.removeItem(PLACE);
  } catch {
    // As above.
  }
}
