import assert from "node:assert/strict";
import { test } from "node:test";

import { Job, Stage } from "../../darkroom/api/static/model.js";

const RUNNING = { over: false, stopping: false };
const ENDED = { over: true, stopping: false };

const view = (more = {}) => ({
  stage_index: 0, label: "stage 1", quantity: 4, completed: 0, in_flight: 0, round: 0, status: "delivering", reason: null,
  frames: [], ...more,
});
const picture = (number, position, more = {}) => ({
  number, stage_index: 0, ordinal: position ?? number - 1, position, attach_id: 100 + number, round: 0, ...more,
});
const strip = (more = {}) => ({ stage: view(), prompt: "a lemon", aspect_ratio: "16:9", references: [], frames: [], hidden: 0, unheld: 0, ...more });
const job = (strips, more = {}) => new Job({ job: { status: "processing", cancel_requested: false, completed_images: 0, ...more }, strips, known: 0 });
const states = (stage, how = RUNNING) => Array.from({ length: stage.view.quantity }, (_, at) => stage.frameAt(at, how).state);

test("every ordered picture has its frame from the first moment", () => {
  assert.deepEqual(states(new Stage(strip())), ["waiting", "waiting", "waiting", "waiting"]);
});

test("a frame is what was sent last, and a picture wins over everything", () => {
  const stage = new Stage(strip());
  stage.take(view({ frames: [
    { position: 1, ordinal: 1, state: "making", round: 0, reason: null },
    { position: 2, ordinal: 2, state: "missed", round: 0, reason: "nothing" },
  ] }));
  assert.deepEqual(states(stage), ["waiting", "making", "missed", "waiting"]);
  stage.add(picture(1, 2, { ordinal: 4, round: 1 }));
  assert.deepEqual(states(stage), ["waiting", "making", "delivered", "waiting"]);
  assert.equal(stage.frameAt(2, RUNNING).ordinal, 4);
  stage.take(view({ frames: [] }));
  assert.deepEqual(states(stage), ["waiting", "waiting", "delivered", "waiting"]);
});

test("a missed frame is made again while its stage goes on, and no longer", () => {
  const frames = [{ position: 0, ordinal: 0, state: "missed", round: 0, reason: null }];
  const stage = new Stage(strip({ stage: view({ frames }) }));
  assert.equal(stage.frameAt(0, RUNNING).again, true);
  assert.equal(stage.frameAt(0, ENDED).again, false);
  stage.take(view({ frames, status: "short" }));
  assert.equal(stage.frameAt(0, RUNNING).again, false);
});

test("what a cancel drops fades, and what is in progress goes on until the end", () => {
  const frames = [{ position: 0, ordinal: 0, state: "making", round: 0, reason: null }];
  const stage = new Stage(strip({ stage: view({ frames }) }));
  assert.deepEqual(states(stage, { over: false, stopping: true }), ["making", "dropped", "dropped", "dropped"]);
  assert.deepEqual(states(stage, ENDED), ["dropped", "dropped", "dropped", "dropped"]);
});

test("a picture that is sent twice counts once", () => {
  const stage = new Stage(strip());
  assert.equal(stage.add(picture(1, 0)), true);
  assert.equal(stage.add(picture(1, 0)), false);
  assert.equal(stage.arrived.length, 1);
});

test("pictures are looked through by their place, whenever they came", () => {
  const stage = new Stage(strip());
  for (const one of [picture(1, 3), picture(2, 0), picture(3, 1)]) stage.add(one);
  assert.deepEqual(stage.inOrder().map((one) => one.position), [0, 1, 3]);
});

test("the light table goes on into the next strip", () => {
  const both = job([strip(), strip({ stage: view({ stage_index: 1 }) })]);
  both.takePicture(picture(1, 0, { stage_index: 1 }));
  both.takePicture(picture(2, 3));
  assert.deepEqual(both.sequence().map(({ stage, picture: one }) => [stage.index, one.number]), [[0, 2], [1, 1]]);
});

const large = () => {
  const frames = [4, 5, 6].map((at) => ({ position: at, ordinal: at, state: "delivered", image: picture(11 + at, null, { ordinal: at }) }));
  return strip({ stage: view({ quantity: 1000, completed: 7, frames: null }), frames, hidden: 997, unheld: 4 });
};
const KNOWN = 17;

test("a large strip knows how many pictures came before its newest ones", () => {
  const stage = new Stage(large(), KNOWN);
  assert.equal(stage.whole, false);
  assert.equal(stage.unheld, 4);
  assert.equal(stage.arrivalOf(picture(16, null)), 5);
});

test("the earlier pictures of a large strip find their places, in whatever order they come", () => {
  for (const order of [[1, 4, 6, 9], [9, 6, 4, 1], [6, 1, 9, 4]]) {
    const stage = new Stage(large(), KNOWN);
    for (const number of order) assert.equal(stage.add(picture(number, null)), true);
    assert.equal(stage.unheld, 0);
    assert.deepEqual(stage.arrived.map((one) => one.number), [1, 4, 6, 9, 15, 16, 17]);
    stage.add(picture(18, null));
    assert.equal(stage.unheld, 0);
    assert.equal(stage.arrivalOf(picture(18, null)), 7);
  }
});

test("a strip that begins with its first pictures takes the rest wherever they came", () => {
  const frames = [picture(3, null, { ordinal: 0 }), picture(1, null, { ordinal: 1 })].map((image, position) => ({ position, state: "delivered", image }));
  const stage = new Stage(strip({ stage: view({ quantity: 1000, completed: 5, frames: null, status: "short" }), frames, unheld: 3 }), 5);
  assert.equal(stage.isOver(RUNNING), true);
  assert.equal(stage.frames, 5);
  for (const one of [picture(2, null, { ordinal: 4 }), picture(4, null, { ordinal: 2 }), picture(5, null, { ordinal: 3 })]) stage.add(one);
  assert.equal(stage.unheld, 0);
  assert.deepEqual(stage.inOrder().map((one) => one.ordinal), [0, 1, 2, 3, 4]);
  stage.add(picture(6, null, { ordinal: 9 }));
  assert.equal(stage.frames, 6);
});

test("a stage of 10,000 takes its pictures quickly", () => {
  const stage = new Stage(strip({ stage: view({ quantity: 10_000, frames: null }), hidden: 10_000 }));
  const began = performance.now();
  for (let number = 1; number <= 10_000; number += 1) stage.add(picture(number, null));
  assert.equal(stage.arrived.length, 10_000);
  assert.ok(performance.now() - began < 1000);
});

test("a progress that knows of more pictures than were sent asks for healing", () => {
  const one = job([strip()]);
  one.takePicture(picture(1, 0));
  one.take({ status: "processing", cancel_requested: false, completed_images: 3 });
  assert.equal(one.behind, true);
  one.takePicture(picture(2, 1));
  one.takePicture(picture(3, 2));
  assert.equal(one.behind, false);
});

test("a stage that is not known yet is told apart from a picture that is held", () => {
  const none = job([]);
  assert.equal(none.takeStage(view()), null);
  assert.equal(none.stages.has(0), false);
  assert.equal(none.takePicture(picture(1, 0)), null);
  assert.equal(none.known, 0, "a picture without a stage is fetched again with it");
});

test("calls in progress are those of all stages", () => {
  assert.equal(job([strip({ stage: view({ in_flight: 3 }) }), strip({ stage: view({ stage_index: 1, in_flight: 2 }) })]).callsInProgress, 5);
});
