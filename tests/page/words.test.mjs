import assert from "node:assert/strict";
import { test } from "node:test";

import { facts } from "../../darkroom/api/static/facts.js";
import {
  callTime, cancelSentence, count, duration, frameWords, moment, sentence, size, spoken, stageReason, stageStanding,
  standing, standsNow, tabTitle,
} from "../../darkroom/api/static/words.js";

process.env.TZ = "UTC";

const job = (more = {}) => ({
  status: "processing", paused: false, pause_reason: null, cancel_requested: false, total_images: 150, completed_images: 48,
  error_message: null, credits: { price: 20, spent: 960, held: 2040 }, ...more,
});

test("the title of the tab is numbers first", () => {
  assert.equal(tabTitle(job()), "48/150 · Darkroom");
});

test("a cancel says what happens, with numbers", () => {
  assert.equal(
    cancelSentence(job(), 12),
    "12 calls in progress will be finished and charged; 90 pictures will not be made. 960 of 3,000 credits spent.",
  );
  assert.equal(
    cancelSentence(job({ completed_images: 148 }), 1),
    "1 call in progress will be finished and charged; 1 picture will not be made. 960 of 3,000 credits spent.",
  );
  assert.match(cancelSentence(job(), 0), /^No calls are in progress; 102 pictures/);
});

test("more calls in progress than pictures missing is never less than none", () => {
  assert.match(cancelSentence(job({ completed_images: 149 }), 5), /; 0 pictures will not be made\./);
});

test("every end has its words", () => {
  assert.equal(standsNow(job({ status: "completed", completed_images: 150 })), "Completed: all 150 pictures delivered");
  assert.equal(standsNow(job({ status: "completed", completed_images: 147 })), "Completed, 3 missing");
  assert.equal(standsNow(job({ status: "cancelled" })), "Cancelled: 102 pictures were not made");
  assert.equal(standsNow(job({ status: "cancelled", total_images: 49 })), "Cancelled: 1 picture was not made");
  assert.equal(standsNow(job({ status: "failed", error_message: "insufficient credits" })), "Failed: insufficient credits");
  assert.equal(standsNow(job({ status: "failed" })), "Failed: nothing was delivered");
});

test("a pause says why, once", () => {
  assert.equal(standsNow(job({ paused: true, pause_reason: "paused by the user" })), "Paused by the user");
  assert.equal(standsNow(job({ paused: true, pause_reason: "the daily quota is spent" })), "Paused: the daily quota is spent");
  assert.equal(standsNow(job({ paused: true })), "Paused: until resumed");
});

test("a cancel in progress is said before a pause", () => {
  const both = job({ paused: true, pause_reason: "paused by the user", cancel_requested: true });
  assert.equal(standsNow(both), "Cancelling: waiting for calls in progress");
  assert.equal(standing(both), "being cancelled");
});

test("a list says it in a word or two", () => {
  assert.equal(standing(job({ status: "pending" })), "waiting");
  assert.equal(standing(job()), "running");
  assert.equal(standing(job({ paused: true })), "paused");
  assert.equal(standing(job({ status: "completed", completed_images: 147 })), "3 missing");
  assert.equal(sentence(job({ status: "pending" })), "waiting to start");
});

test("screen readers hear numbers while it runs, and how it stands when that changes", () => {
  assert.equal(spoken(job()), "48 of 150 pictures");
  assert.equal(spoken(job({ status: "cancelled" })), "Cancelled: 102 pictures were not made. 48 of 150 pictures.");
});

test("a stage says its round and what it misses", () => {
  const stage = { quantity: 50, completed: 48, round: 0, status: "delivering", reason: null, frames: [] };
  assert.equal(stageStanding(stage), "delivering");
  assert.equal(stageStanding({ ...stage, status: "topping_up", round: 2 }), "top-up 2");
  assert.equal(stageStanding({ ...stage, status: "short" }), "2 missing");
  assert.equal(stageStanding({ ...stage, status: "complete", round: 1 }), "complete, 1 top-up");
});

test("a refusal is in the text of its strip, and a status is not said twice", () => {
  const refused = { state: "refused", reason: "blocked by policy" };
  const stage = { status: "delivering", reason: null, frames: [refused, refused, { state: "making", reason: null }] };
  assert.equal(stageReason(stage), "refused: blocked by policy");
  assert.equal(stageReason({ ...stage, status: "short", reason: "rounds spent" }), "rounds spent");
  assert.equal(stageReason({ status: "cancelled", reason: "cancelled", frames: null }), "");
});

test("a frame tells its reason, and whether it is made again", () => {
  const missed = { position: 3, ordinal: 53, state: "missed", round: 0, reason: "no picture in the answer", again: true };
  assert.equal(frameWords(missed), "Picture 53 was missed: no picture in the answer. It will be retried in top-up 1.");
  assert.equal(frameWords({ ...missed, again: false, reason: null }), "Picture 53 was missed: no picture was returned.");
  assert.equal(frameWords({ ...missed, state: "refused", reason: "blocked" }), "Picture 53 was refused: blocked.");
  assert.equal(frameWords({ ...missed, state: "waiting" }), null);
});

test("durations are as short as they are useful", () => {
  const said = [0.2, 59.4, 60, 200, 599, 600, 3599, 3600, 7500, 172_800].map(duration);
  assert.deepEqual(said, ["1 s", "59 s", "1 min", "3 min 20 s", "9 min 59 s", "10 min", "59 min", "1 h", "2 h 5 min", "2 days"]);
  assert.equal(callTime(3.68), "3.7 s");
  assert.equal(callTime(130), "2 min 10 s");
});

test("numbers are grouped, and one is one", () => {
  assert.equal(count(3000, "picture", "pictures"), "3,000 pictures");
  assert.equal(count(1, "picture", "pictures"), "1 picture");
  assert.deepEqual([999, 183_600, 2_400_000].map(size), ["999 bytes", "184 KB", "2.4 MB"]);
});

test("a moment of today is a time, another one has its day", () => {
  const now = new Date("2026-11-25T20:00:00Z");
  assert.equal(moment("2026-11-25T17:46:47Z", now), "17:46");
  assert.equal(moment("2026-11-24T17:46:47Z", now), "24 Nov, 17:46");
  assert.equal(moment("2025-11-24T17:46:47Z", now), "24 Nov 2025, 17:46");
});

test("facts that are not known are left out", () => {
  const picture = {
    provider: "gemini", model: null, seconds: null, round: 0, size: 41_048, credits: 20, attach_id: 9634,
    delivered_at: "2026-11-25T17:46:49Z",
  };
  const terms = (found) => Object.fromEntries(found.map(([term, text]) => [term, text]));
  const now = new Date("2026-11-25T20:00:00Z");
  assert.deepEqual(terms(facts(picture, "", now)), {
    provider: "gemini", size: "41 KB", credits: "20", delivered: "17:46", attach_id: "9634",
  });
  const more = terms(facts({ ...picture, model: "flash", seconds: 3.6, round: 2 }, "1376 × 768", now));
  assert.equal(more.provider, "gemini, flash");
  assert.equal(more["top-up"], "2");
  assert.equal(more.size, "1376 × 768, 41 KB");
});

const failing = { provider: "gemini", reason: "HTTP 503", since: "2026-11-26T10:42:00Z", retrying: 5 };

test("a failing provider is named with its reason, since when, and how many pictures are retried", () => {
  const now = new Date().toISOString().slice(0, 11);
  assert.equal(
    standsNow(job({ failing: [{ ...failing, since: `${now}10:42:00Z` }] })),
    "Gemini is failing (HTTP 503) since 10:42; 5 pictures are being retried",
  );
  assert.match(spoken(job({ failing: [failing] })), /^Gemini is failing .*\. 48 of 150 pictures\.$/);
});

test("nobody who works is said before what fails, and a stalled job stalls", () => {
  const nobody = { without_worker: ["darkroom", "darkroom-generate", "darkroom-publish"], failing: [failing], stalled: true };
  assert.equal(standsNow(job(nobody)), "No worker is running");
  assert.equal(standsNow(job({ stalled: true })), "Stalled: no picture was delivered or missed lately");
  assert.equal(standsNow(job({ ...nobody, paused: true })), "Paused: until resumed");
});

test("a frame that is retried says why, and which attempt it is in", () => {
  const frame = { position: 2, ordinal: 3, state: "making", reason: "HTTP 503", attempt: 6 };
  assert.equal(frameWords(frame), "Picture 3: HTTP 503, attempt 6 of 20");
  assert.equal(frameWords({ ...frame, attempt: null }), null);
});
