import assert from "node:assert/strict";
import { test } from "node:test";

import { fromOrdered, isBlank, mistakes, pictures, readDraft, toDocument, wrongOf } from "../../darkroom/api/static/draft.js";
import { fromTable, missingFiles, nameFor, needs, stagesOf, variablesOf } from "../../darkroom/api/static/tabledraft.js";

const LIMITS = { stages: 1_000, images_per_stage: 10_000, images_per_job: 30_000, prompt_characters: 20_000 };
const READ = {
  columns: ["Colour", "quantity", "reference"], names: ["colour", "quantity", "reference"], numbers: [2, 4],
  rows: [{ colour: "red", quantity: "3", reference: "a.jpg; sub/b.png" }, { colour: "green" }],
};
const stage = (more = {}) => ({ prompt: "A {Colour} lamp", quantity: "2", aspect_ratio: "1:1", references: [], ...more });
const draft = (table, more) => ({ key: "k", stages: [stage(more)], table });

test("a table that was read is a draft with a stage per row", () => {
  const table = fromTable("rows.csv", READ);
  assert.equal(isBlank(draft(table, { prompt: "" })), false);
  assert.equal(pictures(draft(table)), 5);
  assert.equal(stagesOf(table), 2);
  assert.deepEqual(variablesOf(table), ["Colour"]);
  assert.deepEqual(readDraft(JSON.stringify(draft(table))), draft(table));
});

test("pictures that rows name are asked for, and take the place of their names", () => {
  const table = fromTable("rows.csv", READ);
  assert.deepEqual(missingFiles(table), ["a.jpg", "sub/b.png"]);
  assert.equal(nameFor(table, { name: "b.png" }), "sub/b.png");
  assert.equal(nameFor(table, { name: "c.png" }), null);
  assert.deepEqual(mistakes(draft(table), LIMITS).map(({ words }) => words), ["Add the pictures that the table names: a.jpg, sub/b.png."]);
  table.files = { "a.jpg": { attach_id: 7 }, "sub/b.png": { attach_id: 8 } };
  assert.deepEqual(mistakes(draft(table), LIMITS), []);
  assert.deepEqual(toDocument(draft(table, { references: [{ attach_id: 5 }] })), {
    job_type: "template", prompt: "A {Colour} lamp", quantity: 2, aspect_ratio: "1:1", references: [{ attach_id: 5 }],
    rows: [{ colour: "red", quantity: "3", references: [{ attach_id: 7 }, { attach_id: 8 }] }, { colour: "green" }],
  });
});

test("a prompt is needed unless every row has one", () => {
  const own = fromTable("rows.csv", { columns: ["prompt"], names: ["prompt"], numbers: [2], rows: [{ prompt: "A lamp", quantity: "1" }] });
  assert.deepEqual(needs(own), { prompt: false, quantity: false });
  assert.deepEqual(mistakes(draft(own, { prompt: " " }), LIMITS), []);
  assert.deepEqual(mistakes(draft(fromTable("r", { ...READ, rows: [{}] }), { prompt: " " }), LIMITS).map(({ field }) => field), ["prompt"]);
});

test("what the server rejects is said by row and column", () => {
  const table = fromTable("rows.csv", READ);
  const said = (field, reason) => wrongOf({ field, message: `${field}: ${reason}` }, draft(table)).words;
  assert.equal(said("rows[1].colour", "has no value"), "Row 4, column Colour: has no value.");
  assert.equal(said("stages[0].quantity", "0 is not between 1 and 10000"), "Row 2, column quantity: 0 is not between 1 and 10000.");
  assert.equal(said("max_credits", "is odd"), "Max credits: is odd.");
  assert.equal(wrongOf({ field: null, message: "no credits" }, draft(table)).words, "No credits.");
});

const ROWS = {
  job_type: "template", prompt: "A {colour} lamp", light: "dawn", quantity: 2, aspect_ratio: "1:1", references: [{ attach_id: 5 }],
  rows: [{ colour: "red", label: "red" }],
};
const VARIABLES = {
  job_type: "template", prompt: "A {a} {b}", quantity: 3, aspect_ratio: "16:9", references: [],
  variables: [{ name: "a", values: ["x", "y"] }, { name: "b", values: "z" }],
};
const BATCH = {
  job_type: "single_batch", base_prompt: "A coat", aspect_ratio: "3:4",
  individual_image_attach_ids: [{ attach_id: 5, type: "merged" }, { attach_id: 7, type: "top" }],
  combinations: [{ angle: "front", shot: "full", quantity: 3 }, { angle: "back", shot: "tight", quantity: 1 }],
};

for (const [document, all, stages] of [[ROWS, 2, 1], [VARIABLES, 6, 2], [BATCH, 4, 2]]) {
  test(`an order of type ${document.job_type} can be made again as it was`, () => {
    const again = fromOrdered({ document, references: { 5: { thumbnail_url: "/t5" } } }, "new");
    assert.deepEqual(toDocument(again), document);
    assert.equal(pictures(again), all);
    assert.equal(stagesOf(again.table), stages);
    assert.deepEqual(readDraft(JSON.stringify(again)), again);
    assert.deepEqual(mistakes(again, LIMITS), []);
  });
}

test("a merged image is the first reference of an order that is made again", () => {
  const { individual_image_attach_ids, ...old } = BATCH;
  const again = fromOrdered({ document: { ...old, merged_image_attach_id: 5 }, references: {} }, "new");
  assert.deepEqual(toDocument(again).individual_image_attach_ids, [{ attach_id: 5, type: "merged" }]);
});

test("a kept table that is none of ours is left out", () => {
  for (const table of [1, [], { kind: "poster" }, { kind: "template" }, { ...fromTable("r", READ), rows: 1 }]) {
    assert.equal("table" in readDraft(JSON.stringify(draft(table))), false);
  }
});
