/** What the server says of an order while it is written: only when it can be right, and not at every key. */

import { ask, isOffline } from "./ask.js";
import { toDocument } from "./draft.js";
import { at } from "./root.js";

const PAUSE = 500;
const AGAIN = 4000;

export class Quoting {
  #timer = null;
  #asking = null;
  #document = null;

  /** @param {(answer: {quote: object|null, problem: import("./ask.js").Problem|null}) => void} report */
  constructor(report) {
    this.report = report;
  }

  /** @param {import("./draft.js").Draft|null} draft null while it cannot be right */
  ask(draft) {
    const document = draft && JSON.stringify(toDocument(draft));
    if (document === this.#document) return;
    this.#document = document;
    this.#asking?.abort();
    clearTimeout(this.#timer);
    this.report({ quote: null, problem: null });
    if (document) this.#timer = setTimeout(() => this.#now(document), PAUSE);
  }

  async #now(document) {
    this.#asking = new AbortController();
    try {
      const wish = { method: "POST", json: JSON.parse(document), signal: this.#asking.signal };
      const quote = await ask(at("/api/jobs/quote"), wish);
      if (document === this.#document) this.report({ quote, problem: null });
    } catch (error) {
      if (error.name === "AbortError" || document !== this.#document) return;
      if (isOffline(error) || error.retryable) this.#timer = setTimeout(() => this.#now(document), AGAIN);
      else this.report({ quote: null, problem: error });
    }
  }
}
