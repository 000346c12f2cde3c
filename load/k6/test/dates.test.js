import assert from "node:assert/strict";
import { test } from "node:test";

import { monthsBefore, randomPeriod } from "../lib/dates.js";
import { seeded } from "../lib/random.js";

test("months before clamp to the last day of a shorter month and cross years", () => {
  assert.equal(monthsBefore(new Date("2026-08-31T10:00:00Z"), 6).toISOString(), "2026-02-28T00:00:00.000Z");
  assert.equal(monthsBefore(new Date("2026-03-15T10:00:00Z"), 6).toISOString(), "2025-09-15T00:00:00.000Z");
});

test("periods lie in the last six months, as RFC 3339 in UTC", () => {
  const now = new Date("2026-03-15T10:00:00Z");
  const random = seeded(3);
  for (let i = 0; i < 1000; i += 1) {
    const period = randomPeriod(random, now, 6);
    assert.match(period, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.ok(new Date(period) >= new Date("2025-09-15T00:00:00Z") && new Date(period) < now, period);
  }
});
