import assert from "node:assert/strict";
import { test } from "node:test";

import {
  afterwards, choose, cost, fromOrdered, isBlank, mistakes, newDraft, newStage, payers, pictures, quantityOf, readDraft, sizes, sum, toDocument,
  walletOf, wrongOf,
} from "../../darkroom/api/static/draft.js";
import { besides } from "../../darkroom/api/static/ordertypes.js";

const LIMITS = { stages: 100, images_per_stage: 10_000, images_per_job: 30_000, prompt_characters: 20_000 };
const PRICES = { "1K": 20, "2K": 30, "4K": 70 };
const stage = (more = {}) => ({ prompt: "a lemon", quantity: "50", aspect_ratio: "1:1", references: [], ...more });
const draft = (...stages) => ({ key: "k", stages });

test("an order half written is the same after a reload", () => {
  const half = draft(stage({ prompt: "a lem", references: [{ attach_id: 7, thumbnail_url: "/t", name: "a.png", type: "model" }] }), newStage());
  assert.deepEqual(readDraft(JSON.stringify(half)), half);
});

test("what is kept and is no draft of ours is left alone", () => {
  for (const kept of [null, "", "{", "[]", "{}", '{"key": 1, "stages": [{}]}', '{"key": "k", "stages": []}']) {
    assert.equal(readDraft(kept), null);
  }
  const repaired = readDraft('{"key": "k", "stages": [{"prompt": 3, "references": [{"attach_id": "x"}, null]}]}');
  assert.deepEqual(repaired.stages, [newStage()]);
});

test("a new stage takes over shape and number, and nothing else", () => {
  assert.deepEqual(newStage(stage({ quantity: "7" })), { prompt: "", quantity: "7", aspect_ratio: "1:1", references: [] });
});

test("a draft is blank until something is written or added", () => {
  assert.equal(isBlank(newDraft("k")), true);
  assert.equal(isBlank(draft(stage({ prompt: " " }))), true);
  assert.equal(isBlank(draft(stage())), false);
});

test("the document is what the API reads", () => {
  const references = [{ attach_id: 8, thumbnail_url: "", name: "b" }, { attach_id: 7, thumbnail_url: "", name: "a", type: "model" }];
  assert.deepEqual(toDocument(draft(stage({ references }))), {
    job_type: "pipeline_stage",
    stages: [{
      prompt: "a lemon", quantity: 50, aspect_ratio: "1:1",
      individual_image_attach_ids: [{ attach_id: 8 }, { attach_id: 7, type: "model" }],
    }],
  });
});

test("an order that was made before can be made again as it was", () => {
  const document = toDocument(draft(stage({ references: [{ attach_id: 7, thumbnail_url: "", name: "a", type: "top" }] })));
  const again = fromOrdered({ document, references: { 7: { thumbnail_url: "/t7" } } }, "new");
  assert.equal(again.key, "new");
  assert.equal(again.stages[0].references[0].thumbnail_url, "/t7");
  assert.deepEqual(toDocument(again), document);
});

const GENERAL = { job_type: "simple_general", prompt: "a", quantity: 3, aspect_ratio: "1:1", uploaded_attach_ids: [{ attach_id: 7, type: "model" }] };
const PORTRAIT = {
  job_type: "simple_portrait", aspect_ratio: "3:4",
  merged_images: [{ merged_attach_id: 9, wrapping_prompt: "b", photo_index: 4 }, { merged_attach_id: 7, wrapping_prompt: "c" }],
};
const BOOK = {
  job_type: "storybook", book_id: "x", style: "watercolor", aspect_ratio: "1:1",
  pages: [{ dialogues: ["one\nand a half", "two"], attach_id: 7 }, { dialogues: ["three"], page: 2 }],
};

test("an order of any type is ordered again as that type, with all that the form does not show", () => {
  const whole = { max_credits: 60, max_top_ups: 1, priority: 2, providers: ["offline"], webhook_url: "https://x/", production_id: "p" };
  const stages = [{ prompt: "a", quantity: 2, aspect_ratio: "5:7", individual_image_attach_ids: [], negative_prompt: "no people" }];
  for (const typed of [GENERAL, PORTRAIT, BOOK, { job_type: "pipeline_stage", stages }]) {
    const document = { ...whole, ...typed };
    const again = readDraft(JSON.stringify(fromOrdered({ document, references: { 7: { thumbnail_url: "/t7", name: "lemon.jpg" } } }, "new")));
    assert.deepEqual(toDocument(again), document);
    assert.deepEqual(mistakes(again, LIMITS), []);
    for (const [reference] of again.stages.map((one) => one.references)) {
      if (reference?.attach_id === 7) assert.equal(reference.name, "lemon.jpg");
    }
  }
});

test("a page that is changed stays a page, and what its type cannot have is said", () => {
  const book = fromOrdered({ document: BOOK, references: {} }, "new");
  book.stages[1].prompt = "four\n\nfive";
  assert.deepEqual(toDocument(book).pages[1], { dialogues: ["four", "five"], page: 2 });
  book.stages[1].quantity = "2";
  book.stages[1].aspect_ratio = "16:9";
  assert.deepEqual(mistakes(book, LIMITS).map(({ stage, field }) => [stage, field]), [[1, "quantity"], [1, "aspect_ratio"]]);
  const general = fromOrdered({ document: GENERAL, references: {} }, "new");
  general.stages.push(stage());
  assert.match(mistakes(general, LIMITS)[0].words, /only one stage in an order of type simple_general/);
});

test("what is ordered besides the cards is said", () => {
  assert.equal(besides({ job_type: "storybook", style: "watercolor", max_credits: 60, providers: ["a", "b"], more: { x: 1 } }),
    "type storybook, style watercolor, max credits 60, providers a, b, more");
  assert.equal(besides({ job_type: "pipeline_stage" }), "");
  assert.equal(besides(undefined), "");
});

const ACME = { org_id: "11111111-2222-4333-8444-555555555555", name: "Acme", status: "active", available: 60 };
const BETA = { org_id: "22222222-2222-4333-8444-555555555555", name: "Beta", status: "suspended", available: 9 };
const ACCOUNT = { available: 1_000, organizations: [ACME, BETA] };

test("who pays is part of the order, of what is kept, and of what is ordered again", () => {
  const paid = { ...draft(stage()), org_id: ACME.org_id };
  assert.equal(toDocument(paid).org_id, ACME.org_id);
  assert.equal("org_id" in toDocument(draft(stage())), false);
  assert.deepEqual(readDraft(JSON.stringify(paid)), paid);
  const again = fromOrdered({ document: toDocument(paid), references: {} }, "new");
  assert.equal(again.org_id, ACME.org_id);
  assert.equal(besides(again.whole), "");
  assert.equal("org_id" in readDraft(JSON.stringify({ ...paid, org_id: 7 })), false);
});

test("what is available is what the chosen wallet has", () => {
  assert.equal(walletOf(ACCOUNT, draft()).available, 1_000);
  assert.equal(walletOf(ACCOUNT, { ...draft(), org_id: ACME.org_id }).available, 60);
  assert.equal(walletOf(ACCOUNT, { ...draft(), org_id: "not mine" }).available, 0);
});

test("who may pay: the user, active organizations, and the one that the order names", () => {
  const offered = payers(ACCOUNT, draft());
  assert.deepEqual(offered.map(({ words, disabled }) => [words, disabled]), [["You", false], ["Acme", false], ["Beta (suspended)", true]]);
  assert.equal(payers(ACCOUNT, { ...draft(), org_id: BETA.org_id })[2].disabled, false);
  const [, other] = payers({ organizations: [] }, { ...draft(), org_id: ACME.org_id });
  assert.deepEqual([other.value, other.words], [ACME.org_id, "Organization 11111111"]);
});

test("quantities are whole numbers", () => {
  assert.deepEqual(["5", " 12 ", "0", "1.5", "-3", "1e3", "", "many"].map(quantityOf), [5, 12, 0, null, null, null, null, null]);
});

test("mistakes are said in words, at their field, in the order of the form", () => {
  const wrongs = mistakes(draft(stage({ prompt: " ", quantity: "" }), stage({ prompt: "x".repeat(20_001), quantity: "10001" })), LIMITS);
  assert.deepEqual(wrongs, [
    { stage: 0, field: "prompt", words: "Enter a prompt." },
    { stage: 0, field: "quantity", words: "Enter a whole number." },
    { stage: 1, field: "prompt", words: "20,001 characters exceed the maximum of 20,000." },
    { stage: 1, field: "quantity", words: "Enter a number between 1 and 10,000." },
  ]);
  assert.deepEqual(mistakes(draft(stage()), LIMITS), []);
});

test("characters are counted as the server counts them, not in halves", () => {
  assert.deepEqual(mistakes(draft(stage({ prompt: "🍋".repeat(20_000) })), LIMITS), []);
});

test("too many pictures are a mistake of the whole order", () => {
  const four = Array.from({ length: 4 }, () => stage({ quantity: "10000" }));
  assert.deepEqual(mistakes(draft(...four), LIMITS), [
    { stage: null, field: null, words: "40,000 pictures exceed the maximum of 30,000 per job." },
  ]);
});

test("what the server finds wrong goes to the field that it names", () => {
  assert.deepEqual(wrongOf({ field: "stages[1].references", message: "stages[1].references: attachment 9 does not exist" }), {
    stage: 1, field: "references", words: "Attachment 9 does not exist.",
  });
  assert.deepEqual(wrongOf({ field: "pages[2].dialogues", message: "pages[2].dialogues: is empty" }), {
    stage: 2, field: "prompt", words: "Is empty.",
  });
  assert.deepEqual(wrongOf({ field: null, message: "insufficient credits: need 40, available 20" }), {
    stage: null, field: null, words: "Insufficient credits: need 40, available 20.",
  });
});

test("the price is that of the size: of the stage, or of the order", () => {
  const order = draft(stage({ part: { image_size: "4K" } }), stage({ quantity: "2" }));
  assert.equal(cost(order, PRICES), 50 * 70 + 2 * 20);
  choose(order, "image_size", "2K");
  assert.equal(cost(order, PRICES), 50 * 70 + 2 * 30);
  choose(order, "format", "png");
  const document = toDocument(order);
  assert.deepEqual([document.image_size, document.format, document.stages[0].image_size], ["2K", "png", "4K"]);
  assert.equal(besides(order.whole), "");
  choose(order, "image_size", null);
  choose(order, "format", null);
  assert.equal("whole" in order, false);
  assert.deepEqual(sizes(["1K"], { whole: { image_size: "4K" } }), ["1K", "4K"]);
  assert.deepEqual(sizes(["1K", "2K"], {}), ["1K", "2K"]);
});

test("what all stages of an order say alike is chosen for all of them", () => {
  const stages = [{ prompt: "a", quantity: 1, aspect_ratio: "1:1", image_size: "2K", format: "png" }];
  const one = fromOrdered({ document: { stages }, references: {} }, "k");
  assert.deepEqual(one.whole, { image_size: "2K", format: "png" });
  assert.equal("part" in one.stages[0], false);
  const two = fromOrdered({ document: { stages: [...stages, { ...stages[0], image_size: "4K" }] }, references: {} }, "k");
  assert.deepEqual(two.whole, { format: "png" });
  assert.deepEqual(two.stages.map((each) => each.part), [{ image_size: "2K" }, { image_size: "4K" }]);
});

test("the price follows while one types", () => {
  const order = draft(stage(), stage({ quantity: "1" }), stage({ quantity: "x" }));
  assert.equal(pictures(order), 51);
  assert.equal(sum(order, PRICES), "51 pictures, 1,020 credits");
  assert.equal(sum(draft(stage({ quantity: "1" })), { "1K": 1 }), "1 picture, 1 credit");
  assert.equal(sum(order, PRICES, 7), "51 pictures, 7 credits");
  assert.deepEqual(afterwards(1020, 98_920), { words: "98,920 available, 97,900 remaining after this order", enough: true });
  assert.deepEqual(afterwards(1020, 20), { words: "20 available, 1,000 more needed", enough: false });
});
