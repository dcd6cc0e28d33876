/** How numbers, times and states are said; `templates/words.html` says the same before a script runs. */

const grouped = new Intl.NumberFormat("en-US");

/** @param {number} n */
export const number = (n) => grouped.format(n);

/** @param {number} n @param {string} one @param {string} many */
export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

/** Seconds as a person says them: `45 s`, `3 min 20 s`, `2 h 5 min`. @param {number} seconds */
export function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 1) return "1 s";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ""}`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h${s % 3600 >= 60 ? ` ${Math.floor((s % 3600) / 60)} min` : ""}`;
  return `${Math.floor(s / 86_400)} days`;
}

/** Bytes as `184 KB`. @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1_000_000) return `${Math.round(bytes / 1000)} KB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** How long one provider call took. @param {number} seconds */
export const callTime = (seconds) => (seconds < 100 ? `${seconds.toFixed(1)} s` : duration(seconds));

/** @param {string} status */
export const isEnded = (status) => status === "completed" || status === "failed" || status === "cancelled";

/** How a job stands, in a word or two, for lists. */
export function standing(job) {
  if (job.status === "pending") return "waiting";
  if (job.status === "processing") {
    return job.cancel_requested ? "being cancelled" : job.paused ? "paused" : "running";
  }
  const missing = job.total_images - job.completed_images;
  return job.status === "completed" && missing ? `${number(missing)} missing` : job.status;
}

/** Tries of one provider call (`darkroom/domain/attempts.py`). */
export const MOST_ATTEMPTS = 20;

/** What has to be served for pictures to be delivered (`darkroom/domain/names.py`). */
export const JOB_QUEUES = ["darkroom", "darkroom-generate", "darkroom-publish"];

/** What customers read in place of task queues (`darkroom/domain/customers_words.py`). */
const SERVICE = "the picture service";

const utc = (iso) => `${new Date(iso).toISOString().slice(11, 16)} UTC`;

/** That nobody does the work; empty when somebody does. @param {string[]|undefined} queues without a worker */
function withoutWorker(queues) {
  if (!queues?.length) return "";
  if (queues.includes(SERVICE)) return `${SERVICE} is not running; the operator has to fix this`;
  if (JOB_QUEUES.every((queue) => queues.includes(queue))) return "no worker is running";
  return `no worker serves ${queues.length === 1 ? "the task queue" : "the task queues"} ${queues.join(", ")}`;
}

/** Which provider fails a job, why and since when. @param {(iso: string) => string} clock how a moment is written */
function failing(one, clock) {
  const pictures = count(one.retrying, "picture is", "pictures are");
  return `${capital(one.provider)} is failing (${one.reason}) since ${clock(one.since)}; ${pictures} being retried`;
}

/** Whether something keeps the job from moving. */
const isTroubled = (job) => Boolean(job.stalled || job.failing?.length || job.without_worker?.length);

/** How a job stands or ended, as the server says it (`darkroom/domain/sentences.py`), without what to do. */
export function sentence(job, clock = utc) {
  const missing = job.total_images - job.completed_images;
  const lacking = withoutWorker(job.without_worker);
  if (job.status === "pending") return lacking ? `waiting to start: ${lacking}` : "waiting to start";
  if (job.status === "processing") {
    if (job.cancel_requested) return "cancelling: waiting for calls in progress";
    if (job.paused) return `paused: ${job.pause_reason || "until resumed"}`;
    if (lacking) return lacking;
    if (job.failing?.length) return job.failing.map((one) => failing(one, clock)).join("; ");
    return job.stalled ? "stalled: no picture was delivered or missed lately" : "running";
  }
  if (job.status === "completed" && missing) return `completed, ${number(missing)} missing`;
  if (job.status === "failed") return `failed: ${job.error_message || "nothing was delivered"}`;
  return job.status;
}

/** The same, with what the page has room for: how an ended job ended, in one sentence. */
export function standsNow(job, clock = moment) {
  const missing = job.total_images - job.completed_images;
  const { pause_reason: why } = job;
  if (job.status === "processing" && job.paused && !job.cancel_requested && why?.startsWith("paused")) return capital(why);
  if (job.status === "completed" && !missing) return `Completed: all ${count(job.total_images, "picture", "pictures")} delivered`;
  if (job.status === "cancelled") return `Cancelled: ${count(missing, "picture was", "pictures were")} not made`;
  return capital(sentence(job, clock));
}

/** @param {string} text */
export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** How a stage stands, in a word or two. */
export function stageStanding(stage) {
  if (stage.status === "topping_up") return `top-up ${stage.round}`;
  if (stage.status === "short") return `${number(stage.quantity - stage.completed)} missing`;
  if (stage.status === "complete" && stage.round) return `complete, ${count(stage.round, "top-up", "top-ups")}`;
  return stage.status;
}

/** What a stage's text says beside its numbers: why it is short, and what was refused. */
export function stageReason(stage) {
  if (stage.retrying) return `retrying ${count(stage.retrying, "picture", "pictures")}: ${stage.fault}`;
  if (stage.reason && stage.reason !== stage.status) return stage.reason;
  const reasons = (stage.frames ?? []).filter((frame) => frame.state === "refused").map((frame) => frame.reason);
  const said = [...new Set(reasons.filter(Boolean))].slice(0, 2);
  return said.length ? `refused: ${said.join("; ")}` : "";
}

/** What a cancel would do now. @param {number} inProgress provider calls in progress */
export function cancelSentence(job, inProgress) {
  const unmade = Math.max(0, job.total_images - job.completed_images - inProgress);
  const all = job.credits.spent + job.credits.held;
  const calls = inProgress
    ? `${count(inProgress, "call", "calls")} in progress will be finished and charged`
    : "No calls are in progress";
  const pictures = `${count(unmade, "picture", "pictures")} will not be made`;
  return `${calls}; ${pictures}. ${number(job.credits.spent)} of ${number(all)} credits spent.`;
}

/** What deleting a job removes, or why it cannot be deleted, as the server says it (`darkroom/domain/sentences.py`). */
export function deletionSentence(deletion) {
  if (deletion.refusal) return `This job ${deletion.refusal}.`;
  if (deletion.files_removed) return "This job was deleted.";
  const parts = [`${count(deletion.pictures, "picture", "pictures")} (${size(deletion.bytes)})`];
  if (deletion.marks) parts.push("the marks beside them");
  if (deletion.cover) parts.push("the book's cover");
  return (
    `${parts.join(", ")} and the prompts and the name will be removed for good. `
    + "The job's numbers, its receipt and what was charged stay."
  );
}

/** What a screen reader announces now and then while pictures arrive. */
export function spoken(job) {
  const arrived = `${number(job.completed_images)} of ${number(job.total_images)} pictures`;
  return job.status === "processing" && !job.paused && !job.cancel_requested && !isTroubled(job)
    ? arrived
    : `${standsNow(job)}. ${arrived}.`;
}

/** The tab's title. */
export const tabTitle = (job) => `${job.completed_images}/${job.total_images} · ${job.name ?? "Darkroom"}`;

/** The description of a frame without a picture; null where there is nothing to say. */
export function frameWords(frame) {
  const named = `Picture ${frame.ordinal ?? frame.position}`;
  const reason = frame.reason || "no picture was returned";
  if (frame.state === "missed") {
    return frame.again ? `${named} was missed: ${reason}. It will be retried in top-up ${frame.round + 1}.` : `${named} was missed: ${reason}.`;
  }
  if (frame.state === "making" && frame.attempt) {
    return `${named}: ${frame.reason}, attempt ${frame.attempt} of ${MOST_ATTEMPTS}`;
  }
  if (frame.state === "refused") return `${named} was refused: ${frame.reason || "no reason given"}.`;
  return null;
}

/** A moment in the reader's own time zone. @param {string} iso */
export function moment(iso, now = new Date()) {
  const when = new Date(iso);
  const sameDay = when.toDateString() === now.toDateString();
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (sameDay) return when.toLocaleTimeString("en-GB", clock);
  const day = { day: "numeric", month: "short" };
  if (when.getFullYear() !== now.getFullYear()) day.year = "numeric";
  return when.toLocaleString("en-GB", { ...day, ...clock });
}
