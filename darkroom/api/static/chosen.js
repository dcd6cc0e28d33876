/** Which pictures are chosen, by attach_id. Pure; draws nothing. */

/** @type {Set<number>} */
export const chosen = new Set();

/** Numbers as the API takes them: `7,9-12`. @param {Iterable<number>} ids */
export function idRanges(ids) {
  const ranges = [];
  for (const id of [...ids].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && last[1] === id - 1) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
