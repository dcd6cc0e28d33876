/** The stages of an order that is being written: a card each, which are added, duplicated, moved and removed. */

import { announce } from "./announce.js";
import { newStage } from "./draft.js";
import { StageCard } from "./stagecard.js";

export class StageList {
  /** In the order of the draft's stages. @type {StageCard[]} */
  cards = [];
  #draft = null;

  /**
   * @param {HTMLElement} root holds the cards
   * @param {object} can what a card needs to know (`StageCard`)
   * @param {{changed: () => void, take: (files: File[]) => File[], say: (words: string) => void,
   *   offer: (words: string, offer: string, accept: () => void) => void}} tell
   */
  constructor(root, can, tell) {
    this.root = root;
    this.can = can;
    this.tell = tell;
  }

  /** @param {import("./draft.js").Draft} draft whose stages are kept up to date */
  show(draft) {
    this.#draft = draft;
    this.cards = draft.stages.map((stage) => this.#card(stage));
    this.root.replaceChildren(...this.cards.map((card) => card.root));
  }

  /** Add a stage at the end. */
  add() {
    const { stages } = this.#draft;
    if (this.#isFull()) return;
    this.#insert(newStage(stages.at(-1)), stages.length);
    announce(`Stage ${stages.length} added`, true);
  }

  #card(stage) {
    return new StageCard(stage, this.can, {
      changed: this.tell.changed,
      take: this.tell.take,
      remove: (card) => this.#remove(card),
      duplicate: (card) => this.#duplicate(card),
      move: (card, by) => this.#move(card, by),
    });
  }

  /** Whether there can be no further stage; says so. */
  #isFull() {
    const most = this.can.limits.stages;
    if (this.#draft.stages.length < most) return false;
    this.tell.say(`An order can have at most ${most} stages.`);
    return true;
  }

  async #duplicate(card) {
    // What is being uploaded belongs to the copy as well.
    await card.references.sent();
    const at = this.cards.indexOf(card);
    if (at < 0 || this.#isFull()) return;
    this.#insert(structuredClone(card.stage), at + 1);
    announce(`Stage ${at + 1} duplicated as stage ${at + 2}`, true);
  }

  #move(card, by) {
    const at = this.cards.indexOf(card);
    const to = at + by;
    const pressed = document.activeElement;
    if (to < 0 || to >= this.cards.length) return;
    for (const list of [this.cards, this.#draft.stages]) list.splice(to, 0, ...list.splice(at, 1));
    // The neighbor goes past it, so that what has the focus stays where it is in the document.
    const neighbor = this.root.children[to];
    if (by < 0) card.root.after(neighbor);
    else card.root.before(neighbor);
    this.tell.changed();
    card.keepFocus(pressed);
    announce(`Stage ${at + 1} moved to position ${to + 1}`, true);
  }

  #insert(stage, at) {
    const card = this.#card(stage);
    this.#draft.stages.splice(at, 0, stage);
    this.cards.splice(at, 0, card);
    this.root.insertBefore(card.root, this.root.children[at] ?? null);
    this.tell.changed();
    card.focus();
  }

  #remove(card) {
    const at = this.cards.indexOf(card);
    const draft = this.#draft;
    const [stage] = draft.stages.splice(at, 1);
    this.cards.splice(at, 1);
    card.root.remove();
    this.tell.changed();
    this.cards[Math.min(at, this.cards.length - 1)].focus();
    const again = () => this.#draft === draft && this.#insert(stage, Math.min(at, draft.stages.length));
    this.tell.offer(`Stage ${at + 1} removed.`, "Undo", again);
  }
}
