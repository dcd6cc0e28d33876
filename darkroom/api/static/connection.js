/** The line at the top that says that the connection is lost, and goes when it is back. */

import { say } from "./dom.js";
import { at } from "./root.js";

/** Milliseconds between questions whether the server is back: the first ones, then at most. */
const ASK_AGAIN = 1000;
const ASK_AT_MOST = 15_000;

let since = null;
let asking = null;
/** What is done when the connection is back. @type {Set<() => void>} */
const waiting = new Set();

/**
 * Say that the server does not answer.
 * @param {{asks?: boolean}} [who] `asks` is whether the one who says so goes on asking, and says when it is back
 */
export function lost({ asks = false } = {}) {
  const line = document.querySelector("[data-offline]");
  if (since || !line) return;
  since = new Date();
  const clock = since.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  line.hidden = false;
  say(line, `No connection to Darkroom. This page shows the state at ${clock} and will reconnect automatically.`);
  if (!asks) askLater(ASK_AGAIN);
}

/** Say that it answers. */
export function found() {
  if (!since) return;
  since = null;
  clearTimeout(asking);
  document.querySelector("[data-offline]").hidden = true;
  const now = [...waiting];
  waiting.clear();
  for (const then of now) then();
}

/** Do something once, when the connection is back after it was lost. @param {() => void} then */
export function whenFound(then) {
  waiting.add(then);
}

/** Take back what is said because the connection is lost, once it is back. @param {() => void} take */
export function whileLost(take) {
  if (since) whenFound(take);
}

/** Listen to what the browser knows of the network. */
export function watchNetwork() {
  window.addEventListener("offline", () => lost());
  window.addEventListener("online", () => since && askLater(0));
  if (navigator.onLine === false) lost();
}

/** Not every page goes on asking by itself: without this, the line would stay until somebody does something. */
function askLater(wait) {
  clearTimeout(asking);
  asking = setTimeout(async () => {
    // A proxy that answers in the place of the server is none.
    const answer = await fetch(at("/healthz"), { cache: "no-store" }).catch(() => null);
    if (!since) return;
    if (answer?.ok) found();
    else askLater(Math.min(ASK_AT_MOST, Math.max(ASK_AGAIN, wait * 2)));
  }, wait);
}
