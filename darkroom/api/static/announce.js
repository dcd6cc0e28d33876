/** What screen readers are told: the newest news, at most every ten seconds. */

const EVERY = 10_000;
let waiting = null;
let timer = null;
let last = -Infinity;

/**
 * Say something politely. What comes too soon after the last one waits, and only the newest is said.
 * @param {string} text
 * @param {boolean} [now] whether somebody has just asked for it
 */
export function announce(text, now = false) {
  waiting = text;
  if (now) return speak();
  timer ??= setTimeout(speak, Math.max(0, last + EVERY - performance.now()));
}

function speak() {
  clearTimeout(timer);
  timer = null;
  last = performance.now();
  const region = document.querySelector("[data-announcer]");
  if (region && region.textContent !== waiting) region.textContent = waiting;
}
