/** What is known of a picture, in words. */

import { callTime, moment, number, size } from "./words.js";

/**
 * @param {import("./model.js").Picture} picture
 * @param {string} [pixels] once it is loaded
 * @returns {[string, string, string?][]} term, text, class
 */
export function facts(picture, pixels = "", now = new Date()) {
  const by = [picture.provider, picture.model].filter(Boolean).join(", ");
  return [
    ["provider", by],
    ["duration", picture.seconds === null ? "" : callTime(picture.seconds)],
    ["top-up", picture.round ? String(picture.round) : ""],
    ["size", [pixels, size(picture.size)].filter(Boolean).join(", ")],
    ["credits", number(picture.credits)],
    ["delivered", moment(picture.delivered_at, now)],
    ["attach_id", String(picture.attach_id), "id"],
  ].filter(([, text]) => text);
}
