/**
 * A job as this page knows it: what the server said last, and which picture is in which frame. Pure; draws nothing.
 *
 * @typedef {{number: number, stage_index: number, ordinal: number, position: number|null, attach_id: number,
 *   url: string, thumbnail_url: string, size: number, delivered_at: string, round: number, provider: string|null,
 *   model: string|null, seconds: number|null, credits: number}} Picture
 * @typedef {{position: number, ordinal: number|null, state: string, round: number, reason: string|null,
 *   attempt: number|null, again: boolean, picture: Picture|null}} Frame
 */

import { isEnded } from "./words.js";

/** Frames of a strip that are all shown; above it the newest ones. */
export const MOST_SHOWN = 200;
export const NEWEST = 60;

export class Stage {
  /**
   * @param strip what the server rendered: `{stage, prompt, aspect_ratio, references, frames, unheld}`
   * @param {number} known how many pictures of the job the server knew
   */
  constructor(strip, known) {
    this.view = strip.stage;
    this.prompt = strip.prompt;
    this.aspectRatio = strip.aspect_ratio;
    /** @type {{attach_id: number, name: string|null, url: string, thumbnail_url: string}[]} */
    this.references = strip.references ?? [];
    /** Its pictures in the order they came. @type {Picture[]} */
    this.arrived = [];
    /** How many were delivered before the page was made and are not held: a large strip begins with a few. */
    this.unheld = strip.unheld;
    this.knownAtFirst = known;
    this.sorted = null;
    this.places = new Map();
    this.shown = new Map();
    const pictures = strip.frames.filter((frame) => frame.image).map((frame) => frame.image);
    for (const picture of pictures.sort((a, b) => a.number - b.number)) this.#hold(picture);
    this.take(strip.stage);
  }

  get index() {
    return this.view.stage_index;
  }

  /** Whether every ordered picture has its frame from the first moment. */
  get whole() {
    return this.view.quantity <= MOST_SHOWN && this.placed;
  }

  /** Whether pictures have a place of their own; else they stand in the order they came. */
  get placed() {
    return this.view.frames !== null && this.view.frames !== undefined;
  }

  /** Whether nothing more comes, so that all of its pictures are shown. @param {{over: boolean}} job */
  isOver(job) {
    return job.over || ["complete", "short", "cancelled"].includes(this.view.status);
  }

  /** How many frames it has when all are shown. */
  get frames() {
    return this.placed ? this.view.quantity : this.arrived.length + this.unheld;
  }

  /** Take what the server says of the stage. */
  take(view) {
    this.view = view;
    this.shown = new Map((view.frames ?? []).map((frame) => [frame.position, frame]));
  }

  /** Take a picture; false when it is held already. @param {Picture} picture */
  add(picture) {
    const at = search(this.arrived, picture.number);
    if (this.arrived[at]?.number === picture.number) return false;
    if (picture.number <= this.knownAtFirst) this.unheld = Math.max(0, this.unheld - 1);
    this.#hold(picture, at);
    return true;
  }

  /** The picture of a frame of its own. @returns {Picture|null} */
  pictureAt(position) {
    return this.places.get(position) ?? null;
  }

  /**
   * What a frame shows.
   * @param {number} position
   * @param {{over: boolean, stopping: boolean}} job whether the job has ended; whether it is being cancelled
   * @returns {Frame}
   */
  frameAt(position, { over, stopping }) {
    const picture = this.pictureAt(position);
    if (picture) {
      return { position, ordinal: picture.ordinal, state: "delivered", round: picture.round, reason: null, again: false, picture };
    }
    const ended = over || stopping || this.view.status === "short" || this.view.status === "cancelled";
    const shown = this.shown.get(position);
    if (!shown || (shown.state === "making" && over)) {
      return { position, ordinal: null, state: ended ? "dropped" : "waiting", round: 0, reason: null, again: false, picture: null };
    }
    const { ordinal, state, round, reason, attempt = null } = shown;
    return { position, ordinal, state, round, reason, attempt, again: state === "missed" && !ended, picture: null };
  }

  /** How many of its pictures came before this one, where those that are not held came first. @param {Picture} picture */
  arrivalOf(picture) {
    return this.unheld + search(this.arrived, picture.number);
  }

  /** Its pictures in the order they are looked through: by place, else by ordinal. @returns {Picture[]} */
  inOrder() {
    this.sorted ??= this.placed
      ? [...this.places.entries()].sort(([a], [b]) => a - b).map(([, picture]) => picture)
      : [...this.arrived].sort((a, b) => a.ordinal - b.ordinal);
    return this.sorted;
  }

  #hold(picture, at = this.arrived.length) {
    this.sorted = null;
    this.arrived.splice(at, 0, picture);
    if (picture.position !== null) this.places.set(picture.position, picture);
  }
}

export class Job {
  /** @param {{job: object, strips: object[], known: number}} state what the server rendered */
  constructor(state) {
    this.view = state.job;
    /** By index, in the order of the strips. @type {Map<number, Stage>} */
    this.stages = new Map(state.strips.map((strip) => [strip.stage.stage_index, new Stage(strip, state.known)]));
    /** The number of the newest picture; all before it are held, or counted as unheld. */
    this.known = state.known;
  }

  get over() {
    return isEnded(this.view.status);
  }

  get stopping() {
    return this.view.cancel_requested;
  }

  /** Provider calls in progress. */
  get callsInProgress() {
    let calls = 0;
    for (const stage of this.stages.values()) calls += stage.view.in_flight;
    return calls;
  }

  /** Whether pictures were delivered whose events have not arrived. */
  get behind() {
    return this.view.completed_images > this.known;
  }

  /** Pictures that the server knew when it made the page, and that it left out. */
  get unheld() {
    let pictures = 0;
    for (const stage of this.stages.values()) pictures += stage.unheld;
    return pictures;
  }

  /** Take a `progress` or `end`. */
  take(view) {
    this.view = view;
  }

  /** Take a `stage`; null when it is not known yet. @returns {Stage|null} */
  takeStage(view) {
    const stage = this.stages.get(view.stage_index);
    stage?.take(view);
    return stage ?? null;
  }

  /** Take an `image`; null when it is held, or its stage is not known yet. @returns {Stage|null} */
  takePicture(picture) {
    const stage = this.stages.get(picture.stage_index);
    if (!stage) return null;
    if (picture.number > this.known) this.known = picture.number;
    return stage.add(picture) ? stage : null;
  }

  /** All held pictures as the light table goes through them. @returns {{stage: Stage, picture: Picture}[]} */
  sequence() {
    return [...this.stages.values()].flatMap((stage) => stage.inOrder().map((picture) => ({ stage, picture })));
  }
}

function search(pictures, number) {
  let low = 0;
  let high = pictures.length;
  if (high && pictures[high - 1].number < number) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pictures[middle].number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}
