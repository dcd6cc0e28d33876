/**
 * How an order of each type stands on the cards of the form, and becomes a document of that type again. Pure.
 *
 * @typedef {import("./draft.js").DraftStage} DraftStage
 * @typedef {{prompt: string, quantity: number, aspect_ratio: string, references: object[], part?: object}} Card
 *   `part` is what the document says of this stage and a card does not show
 */

const RATIO = "16:9";

const ratioOf = (document) => document.aspect_ratio ?? RATIO;
const attached = ({ references }) => references.map(({ attach_id, type }) => (type ? { attach_id, type } : { attach_id }));
const without = (object, keys) => Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
const onePicture = (attach_id) => (Number.isInteger(attach_id) ? [{ attach_id }] : []);

/** A page's text, line by line; as it was where nobody changed it, since a line may hold a line break. */
const dialoguesOf = ({ prompt, part }) =>
  part?.dialogues?.join("\n") === prompt ? part.dialogues : prompt.split("\n").filter((line) => line.trim());

/** `own`: the keys that cards show. `pictures`, `stages`, `references`: what a type fixes or limits. */
const TYPES = {
  pipeline_stage: {
    own: ["stages"],
    cards: ({ stages }) => stages.map((stage) => ({
      ...stage,
      references: stage.individual_image_attach_ids,
      part: without(stage, ["stage_index", "prompt", "quantity", "aspect_ratio", "individual_image_attach_ids"]),
    })),
    document: (stages) => ({
      stages: stages.map((stage) => ({
        ...stage.part,
        prompt: stage.prompt,
        quantity: Number(stage.quantity),
        aspect_ratio: stage.aspect_ratio,
        individual_image_attach_ids: attached(stage),
      })),
    }),
  },
  simple_general: {
    own: ["prompt", "quantity", "aspect_ratio", "uploaded_attach_ids"],
    stages: 1,
    cards: (document) => [
      { prompt: document.prompt, quantity: document.quantity, aspect_ratio: ratioOf(document), references: document.uploaded_attach_ids },
    ],
    document: ([stage]) => ({
      prompt: stage.prompt, quantity: Number(stage.quantity), aspect_ratio: stage.aspect_ratio, uploaded_attach_ids: attached(stage),
    }),
  },
  simple_portrait: {
    own: ["merged_images", "aspect_ratio"],
    pictures: 1,
    references: [1, 1],
    cards: (document) => document.merged_images.map(({ wrapping_prompt, merged_attach_id, ...part }) => ({
      prompt: wrapping_prompt, quantity: 1, aspect_ratio: ratioOf(document), references: onePicture(merged_attach_id), part,
    })),
    document: (stages) => ({
      aspect_ratio: stages[0].aspect_ratio,
      merged_images: stages.map((stage) => ({
        ...stage.part, wrapping_prompt: stage.prompt, merged_attach_id: stage.references[0]?.attach_id,
      })),
    }),
  },
  storybook: {
    own: ["pages", "aspect_ratio"],
    pictures: 1,
    references: [0, 1],
    cards: (document) => document.pages.map(({ attach_id, ...part }) => ({
      prompt: part.dialogues.join("\n"), quantity: 1, aspect_ratio: ratioOf(document), references: onePicture(attach_id), part,
    })),
    document: (stages) => ({
      aspect_ratio: stages[0].aspect_ratio,
      pages: stages.map((stage) => ({
        ...stage.part,
        dialogues: dialoguesOf(stage),
        ...(stage.references.length ? { attach_id: stage.references[0].attach_id } : {}),
      })),
    }),
  },
};

const typeOf = (whole) => TYPES[whole?.job_type] ?? TYPES.pipeline_stage;

/** A document as cards, and what it says besides. @returns {{cards: Card[], whole: object}} */
export function toCards(document) {
  const type = typeOf(document);
  return { cards: type.cards(document), whole: without(document, type.own) };
}

/** The document of cards. @param {DraftStage[]} stages @param {object} [whole] */
export const fromCards = (stages, whole) => ({ job_type: "pipeline_stage", ...whole, ...typeOf(whole).document(stages) });

/** What an order of this type cannot have. @param {{stages: DraftStage[], whole?: object}} draft */
export function misfits({ stages, whole }) {
  const { pictures, stages: most, references: [fewest, many] = [0, Infinity] } = typeOf(whole);
  const found = [];
  stages.forEach((stage, index) => {
    const wrong = (field, words) => found.push({ stage: index, field, words: `${words} in an order of type ${whole.job_type}.` });
    if (index >= most) wrong("prompt", "There is only one stage");
    if (pictures && Number(stage.quantity) !== pictures) wrong("quantity", "Each stage has one picture");
    if (pictures && stage.aspect_ratio !== stages[0].aspect_ratio) wrong("aspect_ratio", "All stages have the same aspect ratio");
    if (stage.references.length > many) wrong("references", "Each stage has at most one reference");
    if (stage.references.length < fewest) wrong("references", "Each stage has a reference");
  });
  return found;
}

const FIELDS = {
  dialogues: "prompt", wrapping_prompt: "prompt", attach_id: "references", merged_attach_id: "references",
  individual_image_attach_ids: "references", merged_image_attach_id: "references", uploaded_attach_ids: "references",
};

/** The card and field of a field of a document. @param {string} path @returns {{stage: number, field: string}|null} */
export function placeOf(path) {
  const [, index, field] = /^(?:stages|pages|merged_images)\[(\d+)\]\.(\w+)/.exec(path) ?? [];
  return index === undefined ? null : { stage: Number(index), field: FIELDS[field] ?? field };
}

const said = (value) => (Array.isArray(value) ? value.join(", ") : String(value));

/** What the form has fields for, below the cards. */
const SHOWN = ["image_size", "format", "name"];

/** What is ordered besides the cards, such as "style watercolor, max credits 60". @param {object} [whole] */
export function besides(whole) {
  return Object.entries(whole ?? {})
    .filter(([key, value]) => !SHOWN.includes(key) && !(key === "job_type" && value === "pipeline_stage"))
    .map(([key, value]) => {
      const name = key === "job_type" ? "type" : key.replaceAll("_", " ");
      return [value].flat().some((one) => typeof one === "object") ? name : `${name} ${said(value)}`;
    })
    .join(", ");
}
