/** The head of a job: numbers, one line of progress, how it stands, and what can be done now. */

import { say } from "./dom.js";
import { setLine } from "./line.js";
import { duration, number, standsNow, tabTitle } from "./words.js";

/** @param {HTMLElement} root @param {import("./model.js").Job} job */
export function drawHead(root, job) {
  const { view } = job;
  document.title = tabTitle(view);
  root.classList.toggle("ended", job.over);
  say(root.querySelector("[data-count]"), `${number(view.completed_images)} of ${number(view.total_images)}`);
  const parts = [...job.stages.values()].map((stage) => [stage.view.completed, stage.view.quantity]);
  setLine(root.querySelector("[data-line]"), parts.length ? parts : [[view.completed_images, view.total_images]], job.over);
  say(root.querySelector("[data-standing]"), standsNow(view));
  drawFigures(root.querySelector("[data-figures]"), job);
  drawActions(root.querySelector("[data-actions]"), job);
}

function drawFigures(root, { view, over }) {
  const figure = (name, shown, words) => {
    const element = root.querySelector(`[data-figure="${name}"]`);
    element.hidden = !shown;
    say(element.querySelector("dd"), words);
  };
  const { spent, held, paid_by: payer } = view.credits;
  const took = over && view.started_at && view.completed_at;
  figure("pace", !over, view.per_minute ? number(Math.round(view.per_minute)) : "–");
  figure("left", !over, view.eta_seconds ? duration(view.eta_seconds) : "–");
  figure("took", Boolean(took), took ? duration((new Date(view.completed_at) - new Date(view.started_at)) / 1000) : "");
  figure("payer", Boolean(payer), payer?.name ?? "");
  figure("credits", true, over ? number(spent) : `${number(spent)} of ${number(spent + held)}`);
}

function drawActions(root, { view, over }) {
  const possible = new Set(view.actions);
  if (over && !view.deleted_at) for (const action of ["again", "delete"]) possible.add(action);
  if (view.completed_images && !view.deleted_at) possible.add("archive");
  const had = root.contains(document.activeElement);
  for (const form of root.querySelectorAll("[data-action]")) form.hidden = !possible.has(form.dataset.action);
  say(root.querySelector('[data-action="restart"] button'), `Restart the missing ${number(view.total_images - view.completed_images)}`);
  // The focus stays in the row when its button goes: Pause becomes Resume.
  if (had && document.activeElement?.closest("[hidden]")) root.querySelector("form:not([hidden]) button")?.focus();
}
