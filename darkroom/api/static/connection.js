/** The line at the top that says that the connection is lost, and goes when it is back. */

import { say } from "./dom.js";

let since = null;
/** What is done when the connection is back. @type {Set<() => void>} */
const waiting = new Set();

/** Say that the server does not answer. */
export function lost() {
  const line = document.querySelector("[data-offline]");
  if (since || !line) return;
  since = new Date();
  const clock = since.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  line.hidden = false;
  say(line, `No connection to Darkroom. This page shows the state at ${clock} and will reconnect automatically.`);
}

/** Say that it answers. */
export function found() {
  if (!since) return;
  since = null;
  document.querySelector("[data-offline]").hidden = true;
  const now = [...waiting];
  waiting.clear();
  for (const then of now) then();
}

/** Do something once, when the connection is back after it was lost. @param {() => void} then */
export function whenFound(then) {
  waiting.add(then);
}

/** Listen to what the browser knows of the network. */
export function watchNetwork() {
  window.addEventListener("offline", lost);
  window.addEventListener("online", found);
  if (navigator.onLine === false) lost();
}
