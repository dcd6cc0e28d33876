/** Numbers by day for charts. Pure. */

const DAY = 86_400_000;

/** The days up to today (UTC), oldest first, as `2026-11-25`. @param {number} count */
export function lastDays(count, today = new Date()) {
  const end = Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate());
  return Array.from({ length: count }, (_, at) => new Date(end - (count - 1 - at) * DAY).toISOString().slice(0, 10));
}

/**
 * The sums of some columns by day; days without a row are zero.
 * @param {string[]} days @param {Record<string, any>[]} rows @param {string[]} columns
 * @returns {number[][]} by day, a number a column
 */
export function sums(days, rows, columns) {
  const byDay = new Map(days.map((day) => [day, columns.map(() => 0)]));
  for (const row of rows) {
    const sum = byDay.get(row.day);
    if (sum) columns.forEach((column, at) => (sum[at] += row[column]));
  }
  return days.map((day) => byDay.get(day));
}

/** The slowest provider's seconds by day; null where nothing was drawn. @returns {(number|null)[]} */
export function slowest(days, rows, column) {
  return days.map((day) => {
    const values = rows.filter((row) => row.day === day && row[column] !== null).map((row) => row[column]);
    return values.length ? Math.max(...values) : null;
  });
}

/** A round number at or above a value, for the top of an axis. @param {number} value */
export function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}
