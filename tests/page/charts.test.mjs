import assert from "node:assert/strict";
import { test } from "node:test";

import { lastDays, roundUp, slowest, sums } from "../../darkroom/api/static/charts.js";

test("days are those of UTC, today last", () => {
  assert.deepEqual(lastDays(3, new Date("2026-03-01T00:30:00Z")), ["2026-02-27", "2026-02-28", "2026-03-01"]);
});

test("providers are added up by day, and days without a call are zero", () => {
  const rows = [
    { day: "2026-03-01", calls: 3, missed: 1 }, { day: "2026-03-01", calls: 4, missed: 0 }, { day: "2025-01-01", calls: 9, missed: 9 },
  ];
  assert.deepEqual(sums(["2026-02-28", "2026-03-01"], rows, ["calls", "missed"]), [[0, 0], [7, 1]]);
});

test("a day on which nothing was drawn has no seconds", () => {
  const rows = [{ day: "a", p: 2 }, { day: "a", p: 3.5 }, { day: "b", p: null }];
  assert.deepEqual(slowest(["a", "b", "c"], rows, "p"), [3.5, null, null]);
});

test("an axis ends at a round number above what it shows", () => {
  assert.deepEqual([0, 1, 3, 59, 100, 101, 0.3].map(roundUp), [1, 1, 5, 100, 100, 200, 0.5]);
});
