/**
 * An order while it is being written: what is kept over a reload, what is wrong with it, what it costs. Pure.
 *
 * @typedef {{attach_id: number, thumbnail_url: string, name: string, type?: string}} Reference
 * @typedef {{prompt: string, quantity: string, aspect_ratio: string, references: Reference[], part?: object}} DraftStage
 *   `part` is what an order that is ordered again says of this stage and the form does not show
 * @typedef {{key: string, stages: DraftStage[], whole?: object, org_id?: string, table?: import("./tabledraft.js").TableDraft}} Draft
 *   `org_id` is the organization that pays instead of the user, `whole` is what an order that is ordered again says of
 *   all its stages: its type, style, ceiling, providers, priority, webhook. With a `table` there is one stage, of what
 *   all stages have in common
 * @typedef {{stages: number, images_per_stage: number, images_per_job: number, prompt_characters: number}} Limits
 * @typedef {{stage: number|null, field: string|null, words: string}} Wrong
 */

import { fromCards, misfits, placeOf, toCards } from "./ordertypes.js";
import { isOfTable, lacks, needs, ofOrdered, tableDocument, tablePictures, tableProblem } from "./tabledraft.js";
import { count, number } from "./words.js";

const FIRST_QUANTITY = "4";
const FIRST_SHAPE = "16:9";

/** @param {DraftStage} [like] the stage before, whose shape and number it takes over @returns {DraftStage} */
export function newStage(like) {
  return { prompt: "", quantity: like?.quantity ?? FIRST_QUANTITY, aspect_ratio: like?.aspect_ratio ?? FIRST_SHAPE, references: [] };
}

/** @param {string} key @returns {Draft} */
export const newDraft = (key) => ({ key, stages: [newStage()] });

/** Whether nothing was written yet. @param {Draft} draft */
export const isBlank = (draft) => !draft.table && draft.stages.every((stage) => !stage.prompt.trim() && !stage.references.length);

/** A draft as it was kept; null when there is none, or it is none of ours. @param {string|null} kept @returns {Draft|null} */
export function readDraft(kept) {
  let found;
  try {
    found = JSON.parse(kept ?? "null");
  } catch {
    return null;
  }
  if (typeof found?.key !== "string" || !Array.isArray(found.stages) || !found.stages.length) return null;
  const whole = objectOf(found.whole);
  const table = readTable(found.table);
  const stages = found.stages.map(readStage);
  const payer = typeof found.org_id === "string" ? { org_id: found.org_id } : {};
  return { key: found.key, stages: table ? stages.slice(0, 1) : stages, ...payer, ...(whole ? { whole } : {}), ...(table ? { table } : {}) };
}

const objectOf = (value) => (typeof value === "object" && !Array.isArray(value) ? value : null);

function readTable(table) {
  const known = objectOf(table) && ["template", "single_batch"].includes(table.kind);
  const whole = known && ["names", "columns", "numbers"].every((part) => Array.isArray(table[part])) && objectOf(table.files);
  const lists = ["rows", "variables", "combinations"].every((part) => table?.[part] === undefined || Array.isArray(table[part]));
  return whole && lists ? table : null;
}

function readStage(stage) {
  const part = objectOf(stage?.part);
  const blank = newStage();
  const references = Array.isArray(stage?.references) ? stage.references : [];
  return {
    prompt: typeof stage?.prompt === "string" ? stage.prompt : blank.prompt,
    quantity: typeof stage?.quantity === "string" ? stage.quantity : blank.quantity,
    aspect_ratio: typeof stage?.aspect_ratio === "string" ? stage.aspect_ratio : blank.aspect_ratio,
    references: references
      .filter((one) => Number.isInteger(one?.attach_id))
      .map(({ attach_id, thumbnail_url, name, type }) => ({
        attach_id, thumbnail_url: String(thumbnail_url ?? ""), name: String(name ?? ""), ...(type ? { type: String(type) } : {}),
      })),
    ...(part ? { part } : {}),
  };
}

/** The draft of an order that was made before. @returns {Draft} */
export function fromOrdered({ document, references }, key) {
  const { cards, whole: all, table } = isOfTable(document) ? ofTable(document) : lifted(toCards(document));
  const { org_id, ...whole } = all;
  return {
    key,
    ...(org_id ? { org_id } : {}),
    ...(table ? { table } : {}),
    ...(Object.keys(whole).length ? { whole } : {}),
    stages: cards.map(({ prompt, quantity, aspect_ratio, references: attached, part }) => ({
      prompt,
      quantity: String(quantity),
      aspect_ratio,
      references: (attached ?? []).map(({ attach_id, type }) => {
        const { thumbnail_url, name } = references[attach_id] ?? {};
        return { attach_id, thumbnail_url: thumbnail_url ?? "", name: name ?? `Picture ${attach_id}`, ...(type ? { type } : {}) };
      }),
      ...(Object.keys(part ?? {}).length ? { part } : {}),
    })),
  };
}

/** What all stages say alike is said of the order, where the form shows it. */
function lifted({ cards, whole }) {
  const of = (card, field) => card.part?.[field];
  const common = ["image_size", "format"].filter((field) => of(cards[0], field) && cards.every((card) => of(card, field) === of(cards[0], field)));
  return {
    cards: cards.map((card) => ({ ...card, part: Object.fromEntries(Object.entries(card.part ?? {}).filter(([name]) => !common.includes(name))) })),
    whole: { ...whole, ...Object.fromEntries(common.map((field) => [field, of(cards[0], field)])) },
  };
}

function ofTable(document) {
  const { card, whole, table } = ofOrdered(document);
  return { cards: [card], whole, table };
}

/** The order document. @param {Draft} draft */
export const toDocument = ({ stages, whole, table, org_id }) => ({
  ...(table ? tableDocument(stages[0], table, whole) : fromCards(stages, whole)),
  ...(org_id ? { org_id } : {}),
});

/** The wallet that pays; one that is not ours has nothing. @param {Draft} draft */
export const walletOf = (account, { org_id }) =>
  org_id ? (account.organizations.find((one) => one.org_id === org_id) ?? { available: 0 }) : account;

/** Who may pay, the user first; also the one that an order names and that is not ours. @param {Draft} draft */
export function payers({ organizations }, { org_id }) {
  const known = organizations.map((one) => ({
    value: one.org_id,
    words: one.status === "active" ? one.name : `${one.name} (${one.status})`,
    disabled: one.status !== "active" && one.org_id !== org_id,
  }));
  const other = org_id && !organizations.some((one) => one.org_id === org_id);
  return [
    { value: "", words: "You", disabled: false },
    ...known,
    ...(other ? [{ value: org_id, words: `Organization ${org_id.slice(0, 8)}`, disabled: false }] : []),
  ];
}

/** A quantity as a number; null where it is none. @param {string} text */
export const quantityOf = (text) => (/^\s*\d{1,9}\s*$/.test(text) ? Number(text) : null);

/** How many pictures, as far as it can be told. @param {Draft} draft */
export const pictures = ({ stages, table }) =>
  table
    ? tablePictures(table, quantityOf(stages[0].quantity) ?? 0)
    : stages.reduce((sum, stage) => sum + (quantityOf(stage.quantity) ?? 0), 0);

/** What is wrong, in the order of the form. @param {Draft} draft @param {Limits} limits @returns {Wrong[]} */
export function mistakes(draft, limits) {
  const found = [];
  const needed = draft.table ? needs(draft.table) : { prompt: true, quantity: true };
  draft.stages.forEach((stage, index) => {
    const wrong = (field, words) => found.push({ stage: index, field, words });
    const length = [...stage.prompt].length;
    if (!stage.prompt.trim() && needed.prompt) wrong("prompt", "Enter a prompt.");
    else if (length > limits.prompt_characters) {
      wrong("prompt", `${number(length)} characters exceed the maximum of ${number(limits.prompt_characters)}.`);
    }
    const quantity = quantityOf(stage.quantity);
    if (quantity === null) wrong("quantity", "Enter a whole number.");
    else if (quantity < 1 || quantity > limits.images_per_stage) {
      wrong("quantity", `Enter a number between 1 and ${number(limits.images_per_stage)}.`);
    }
  });
  if (draft.table) found.push(...lacks(draft.table).map((words) => ({ stage: null, field: null, words })));
  else found.push(...misfits(draft));
  const all = pictures(draft);
  if (all > limits.images_per_job) {
    found.push({ stage: null, field: null, words: `${number(all)} pictures exceed the maximum of ${number(limits.images_per_job)} per job.` });
  }
  return found;
}

/** A problem of the API, at the field that it names. @param {{field: string|null, message: string}} problem @param {Draft} [draft] @returns {Wrong} */
export function wrongOf({ field, message }, { table } = {}) {
  if (table) return { stage: null, field: null, words: tableProblem({ field, message }, table) };
  const place = placeOf(field ?? "");
  const words = field && message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
  const sentence = `${words.slice(0, 1).toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;
  return { stage: null, field: null, ...place, words: sentence };
}

/** The formats of delivered files. */
export const FORMATS = { webp: "WebP", jpeg: "JPEG", png: "PNG", avif: "AVIF", original: "Original, as drawn" };

/** The sizes to choose from: what can be drawn, and what the order says. @param {string[]} possible @param {Draft} draft */
export const sizes = (possible, { whole }) => [...new Set([...possible, ...(whole?.image_size ? [whole.image_size] : [])])];

/** Credits of one picture. @param {Draft} draft @param {DraftStage} stage @param {Object<string, number>} prices by size */
export const priceOf = ({ whole }, stage, prices) => prices[stage.part?.image_size ?? whole?.image_size ?? "1K"] ?? prices["1K"];

/** Credits, as far as they can be told; rows of a table may have sizes of their own. @param {Draft} draft @param {Object<string, number>} prices */
export const cost = (draft, prices) =>
  draft.table
    ? pictures(draft) * priceOf(draft, draft.stages[0], prices)
    : draft.stages.reduce((all, stage) => all + (quantityOf(stage.quantity) ?? 0) * priceOf(draft, stage, prices), 0);

/** The draft's choice for all of its pictures; null is the usual. @param {Draft} draft @param {string} field @param {string|null} value */
export function choose(draft, field, value) {
  const { [field]: _, ...others } = draft.whole ?? {};
  const whole = value === null ? others : { ...others, [field]: value };
  if (Object.keys(whole).length) draft.whole = whole;
  else delete draft.whole;
}

/** What it all comes to. @param {Draft} draft @param {Object<string, number>} prices @param {number} [credits] as quoted */
export function sum(draft, prices, credits = cost(draft, prices)) {
  return `${count(pictures(draft), "picture", "pictures")}, ${count(credits, "credit", "credits")}`;
}

/** What is left afterwards, or what is missing. @returns {{words: string, enough: boolean}} */
export function afterwards(credits, available) {
  const rest = available - credits;
  return rest >= 0
    ? { words: `${number(available)} available, ${number(rest)} remaining after this order`, enough: true }
    : { words: `${number(available)} available, ${number(-rest)} more needed`, enough: false };
}
