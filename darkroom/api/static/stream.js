/** Following a job: server-sent events that come back by themselves, each picture once. */

import { ask, isOffline } from "./ask.js";
import { found, lost } from "./connection.js";

/** Milliseconds without a connection before it is called lost: a feed that begins anew is none. */
const GRACE = 2500;
const AGAIN_AT_MOST = 15_000;

export class Stream {
  #source = null;
  #grace = null;
  #retry = null;
  #wait = 1000;

  /**
   * @param {{events: string, self: string}} urls of the job
   * @param {{progress: Function, stage: Function, image: Function, end: Function, gone: Function, known: () => number}} to
   *   what is told; `known` is the number of the newest picture, so that it is not told again
   */
  constructor(urls, to) {
    this.urls = urls;
    this.to = to;
    window.addEventListener("online", () => this.#again());
  }

  /** Begin to follow; again after an end. */
  open() {
    this.close();
    const source = new EventSource(`${this.urls.events}?after=${this.to.known()}`);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#wait = 1000;
      this.#connected();
    });
    for (const name of ["progress", "stage", "image"]) {
      source.addEventListener(name, (event) => this.to[name](JSON.parse(event.data)));
    }
    source.addEventListener("end", (event) => {
      this.close();
      this.to.end(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      this.#grace ??= setTimeout(() => lost({ asks: true }), GRACE);
      if (source.readyState === EventSource.CLOSED) this.#later();
    });
  }

  /** Follow no longer. */
  close() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#source?.close();
    this.#source = null;
    this.#connected();
  }

  #connected() {
    clearTimeout(this.#grace);
    this.#grace = null;
    found();
  }

  #again() {
    if (this.#retry === null && this.#source?.readyState !== EventSource.CONNECTING) return;
    this.open();
  }

  /** The browser has given up: ask what is wrong, and begin anew when that answers. */
  #later() {
    this.#source = null;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(async () => {
      try {
        await ask(this.urls.self);
        this.open();
      } catch (error) {
        if (error.status === 404) return this.to.gone();
        if (!isOffline(error)) lost({ asks: true });
        this.#wait = Math.min(AGAIN_AT_MOST, this.#wait * 2);
        this.#later();
      }
    }, this.#wait);
  }
}
