/** The list of jobs: it goes on by itself while jobs run. */

import { ask } from "./ask.js";
import { el, say } from "./dom.js";
import { setLine } from "./line.js";
import { at } from "./root.js";
import { isEnded, number, standing } from "./words.js";

const EVERY = 3000;
const list = document.querySelector("[data-jobs]");
const empty = document.querySelector("[data-empty]");

/** Only the newest page is alive; an older one stays as it was. */
if (list && !new URLSearchParams(location.search).has("cursor")) follow();
if (empty) wait();

/** The newest jobs of a list that is narrowed like this one. @param {string} query @param {number} limit */
function listed(query, limit) {
  const asked = new URLSearchParams(query);
  asked.set("limit", String(limit));
  return at(`/api/jobs?${asked}`);
}

/** Nothing is listed yet: once there is something, the server draws the list. */
async function wait() {
  const { jobs } = document.hidden ? { jobs: [] } : await ask(listed(empty.dataset.empty, 1)).catch(() => ({ jobs: [] }));
  if (jobs.length) location.reload();
  else setTimeout(wait, EVERY);
}

function follow() {
  let timer = setTimeout(refresh, EVERY);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) refresh();
  });

  async function refresh() {
    try {
      draw((await ask(listed(list.dataset.query, Math.max(20, list.children.length)))).jobs);
    } catch {
      // The line at the top says so where the connection is lost; the next refresh tries again.
    }
    const alive = [...list.children].some((row) => row.classList.contains("alive"));
    if (!document.hidden) timer = setTimeout(refresh, alive ? EVERY : 5 * EVERY);
  }
}

function draw(jobs) {
  const rows = new Map([...list.children].map((row) => [row.dataset.job, row]));
  let before = null;
  for (const job of jobs) {
    const row = rows.get(job.job_id) ?? newRow(job, list.querySelector("li"));
    rows.delete(job.job_id);
    drawRow(row, job);
    // A row that stands where it belongs is left alone, and keeps the focus.
    const place = before ? before.nextElementSibling : list.firstElementChild;
    if (place !== row) list.insertBefore(row, place);
    before = row;
  }
  // What left the filter goes, but not what somebody has in hand.
  if (list.dataset.query) for (const row of rows.values()) if (!row.contains(document.activeElement)) row.remove();
}

function newRow(job, like) {
  const row = like.cloneNode(true);
  row.dataset.job = job.job_id;
  row.querySelector("a").href = job.urls.page;
  row.querySelector("[data-previews]").replaceChildren();
  row.querySelector("[data-why]")?.remove();
  const time = row.querySelector("time");
  time.dateTime = job.created_at;
  time.textContent = "just now";
  return row;
}

function drawRow(row, job) {
  const ended = isEnded(job.status);
  row.className = ended ? "ended" : "alive";
  say(row.querySelector("[data-title]"), job.title ?? "Not started yet");
  say(row.querySelector("[data-done]"), `${number(job.completed_images)} of ${number(job.total_images)}`);
  say(row.querySelector("[data-stands]"), standing(job));
  setLine(row.querySelector("[data-line]"), [[job.completed_images, job.total_images]], ended);
  drawWhy(row, job.error_message);
  const previews = row.querySelector("[data-previews]");
  const held = new Map([...previews.children].map((image) => [image.dataset.attach, image]));
  const previewed = job.previews.map(
    ({ attach_id, thumbnail_url }) => held.get(String(attach_id)) ?? el("img", { src: thumbnail_url, alt: "", "data-attach": attach_id }),
  );
  if (previewed.some((image, at) => previews.children[at] !== image)) previews.replaceChildren(...previewed);
}

function drawWhy(row, message) {
  let why = row.querySelector("[data-why]");
  if (message && !why) row.querySelector("a").append((why = el("span", { class: "why", "data-why": true })));
  if (message) say(why, message);
  else why?.remove();
}
