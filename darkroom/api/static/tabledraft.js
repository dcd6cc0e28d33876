/**
 * An order of a table while it is being written: one prompt, and a stage per row, combination or view. Pure.
 *
 * @typedef {import("./draft.js").DraftStage} DraftStage
 * @typedef {{attach_id: number, thumbnail_url: string}} Given
 * @typedef {{kind: "template"|"single_batch", name: string|null, names: string[], columns: string[], numbers: number[],
 *   files: Record<string, Given>, rows?: object[], variables?: object[], combinations?: object[]}} TableDraft
 *   `name` of the file; `names` are its `columns` as a document has them; `numbers` of its rows; `files` are those that
 *   were given for names in the column `reference`
 */

import { count, number } from "./words.js";

const FIELDS = ["prompt", "quantity", "aspect_ratio", "image_size", "negative_prompt", "references", "reference", "label"];
const SHARED = ["job_type", "prompt", "base_prompt", "quantity", "aspect_ratio", "references", "individual_image_attach_ids",
  "rows", "variables", "combinations"];

const list = (value) => (Array.isArray(value) ? value : []);
const idOf = (one) => (typeof one === "object" ? one?.attach_id : Number(one));
const ids = (value) => (typeof value === "string" ? value.split(/[\s,;|]+/).filter(Boolean) : [value ?? []].flat());
const names = (value) => (Array.isArray(value) ? value : String(value ?? "").split(/[;|\n]/)).map((one) => one.trim()).filter(Boolean);
const attached = (references) => references.map(({ attach_id, type }) => (type ? { attach_id, type } : { attach_id }));

/** The table that the API read. @returns {TableDraft} */
export const fromTable = (name, { columns, names: spelled, rows, numbers }) => ({
  kind: "template", name, columns, names: spelled, rows, numbers, files: {},
});

/** Whether a document is one that is shown so. */
export const isOfTable = (document) => ["template", "single_batch"].includes(document.job_type);

/** An order that was made before: its card, its table, and what it says besides. */
export function ofOrdered(document) {
  const kind = document.job_type;
  const { rows, variables, combinations } = document;
  const table = { kind, name: null, columns: [], names: [], numbers: [], files: {} };
  const merged = document.merged_image_attach_id === undefined ? [] : [{ attach_id: document.merged_image_attach_id, type: "merged" }];
  const given = kind === "single_batch" ? list(document.individual_image_attach_ids) : ids(document.references);
  return {
    table: { ...table, ...(rows ? { rows } : {}), ...(variables ? { variables } : {}), ...(combinations ? { combinations } : {}) },
    card: {
      prompt: document.base_prompt ?? document.prompt ?? "",
      quantity: document.quantity ?? 1,
      aspect_ratio: document.aspect_ratio ?? "16:9",
      references: [...merged, ...given.map((one) => (typeof one === "object" ? one : { attach_id: Number(one) }))],
    },
    whole: Object.fromEntries(
      Object.entries(document).filter(([key]) => !SHARED.includes(key) && key !== "merged_image_attach_id"),
    ),
  };
}

/** The order document. @param {DraftStage} card @param {TableDraft} table @param {object} [whole] */
export function tableDocument(card, table, whole) {
  const shared = { ...whole, job_type: table.kind, aspect_ratio: card.aspect_ratio };
  if (table.kind === "single_batch") {
    return {
      ...shared, base_prompt: card.prompt, individual_image_attach_ids: attached(card.references), combinations: table.combinations,
    };
  }
  return {
    ...shared,
    ...(card.prompt.trim() ? { prompt: card.prompt } : {}),
    quantity: Number(card.quantity),
    references: attached(card.references),
    ...(table.variables ? { variables: table.variables } : {}),
    ...(table.rows ? { rows: table.rows.map((row) => withFiles(row, table.files)) } : {}),
  };
}

/** A row with the attachments of the files that it names. */
function withFiles({ reference, ...row }, files) {
  const named = names(reference);
  if (!named.length) return row;
  const given = named.map((name) => files[name]?.attach_id).filter(Boolean);
  return { ...row, references: [...ids(row.references), ...given].map((one) => ({ attach_id: idOf(one) })) };
}

/** The files that rows name and nobody has given yet. @param {TableDraft} table */
export function missingFiles({ rows, files }) {
  return [...new Set(list(rows).flatMap((row) => names(row.reference)))].filter((name) => !files[name]);
}

/** Whether a file that was dropped is a table. @param {{name: string, type: string}} file */
export const isTableFile = ({ name, type }) => /\.(csv|tsv)$/i.test(name) || type === "text/csv";

/** For which name of a table a file is: a name may have folders. */
export const nameFor = (table, { name }) => missingFiles(table).find((wanted) => wanted === name || wanted.endsWith(`/${name}`)) ?? null;

/** The columns that a prompt may name, as the table spells them. @param {TableDraft} table */
export const variablesOf = ({ columns, names: spelled }) => columns.filter((_, index) => !FIELDS.includes(spelled[index]));

/** Whether stages need a prompt of the card, and its number. @param {TableDraft} table */
export const needs = ({ kind, rows }) => ({
  prompt: !rows?.length || !rows.every((row) => row.prompt),
  quantity: kind !== "single_batch" && (!rows?.length || !rows.every((row) => row.quantity)),
});

/** How many pictures, as far as it can be told. @param {TableDraft} table @param {number} each */
export function tablePictures({ kind, rows, variables, combinations }, each) {
  const sum = (parts, otherwise) => parts.reduce((all, { quantity }) => all + (Number(quantity ?? otherwise) || 0), 0);
  if (kind === "single_batch") return sum(list(combinations), 1);
  if (rows) return sum(rows, each);
  return list(variables).reduce((all, { values }) => all * [values].flat().length, 1) * each;
}

/** What an order of a table still lacks. @param {TableDraft} table @returns {string[]} */
export function lacks(table) {
  const missing = missingFiles(table);
  if (!missing.length) return [];
  const shown = missing.slice(0, 3).join(", ");
  const more = missing.length > 3 ? ` and ${number(missing.length - 3)} more` : "";
  return [`Add ${missing.length === 1 ? "the picture" : "the pictures"} that the table names: ${shown}${more}.`];
}

/** A problem of the API in the words of the table: `Row 5, column Colour: …`. */
export function tableProblem({ field, message }, { numbers, names: spelled, columns }) {
  const words = field && message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
  const [, index, name] = /^(?:rows|stages)\[(\d+)\](?:\.([^.[]+))?/.exec(field ?? "") ?? [];
  const column = columns[spelled.indexOf(name)] ?? name?.replaceAll("_", " ");
  const place = index === undefined
    ? (field ?? "").replaceAll("_", " ")
    : [numbers[index] ? `row ${number(numbers[index])}` : `stage ${Number(index) + 1}`, column && `column ${column}`].filter(Boolean).join(", ");
  const sentence = place && words !== message ? `${place}: ${words}` : words;
  return `${sentence.slice(0, 1).toUpperCase()}${sentence.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;
}

/** What stands above the stages. @param {TableDraft} table @param {number} stages */
export const tableTitle = ({ kind, name }, stages) =>
  `${name ?? (kind === "single_batch" ? "Combinations" : "Stages of one prompt")} · ${count(stages, "stage", "stages")}`;

/** How many stages it makes. @param {TableDraft} table */
export const stagesOf = ({ rows, variables, combinations }) =>
  (rows ?? combinations)?.length ?? list(variables).reduce((all, { values }) => all * [values].flat().length, 1);
