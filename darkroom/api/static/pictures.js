/** Pictures that a page does not hold: those that came before, those nobody told of, and addresses that grew old. */

import { ask, isOffline } from "./ask.js";
import { at } from "./root.js";

const PAGE = 1000;

/**
 * Fetch a job's pictures above a number, page by page.
 * @param {string} address of its pictures
 * @param {number} after
 * @param {(pictures: import("./model.js").Picture[]) => void} take
 * @param {{before?: number, stage?: number|null}} [which] the first number that is not wanted any more, and the index of
 *   the one stage whose pictures are
 */
export async function fetchPictures(address, after, take, { before = Infinity, stage = null } = {}) {
  const narrowed = stage === null ? "" : `&stage=${stage}`;
  for (let cursor = String(after); cursor !== null && Number(cursor) < before - 1; ) {
    const page = await ask(`${address}?cursor=${cursor}&limit=${PAGE}${narrowed}`);
    take(page.images);
    cursor = page.next_cursor;
  }
}

/**
 * Ask for new addresses of a picture; whether there are any.
 * @param {{attach_id: number, url?: string, thumbnail_url: string}} picture gets them
 * @throws {Problem} when the server cannot be reached
 */
export async function renewed(picture) {
  try {
    const { url, thumbnail_url } = await ask(at(`/api/attachments/${picture.attach_id}`));
    const old = picture.thumbnail_url;
    Object.assign(picture, { url, thumbnail_url });
    return thumbnail_url !== old;
  } catch (error) {
    if (isOffline(error)) throw error;
    return false;
  }
}
