import assert from "node:assert/strict";
import { test } from "node:test";

import { STAGES, THRESHOLDS } from "../lib/profile.js";
import { describe } from "../lib/summary.js";

test("eighteen minutes up to a thousand users and back to none", () => {
  assert.equal(STAGES.reduce((sum, { duration }) => sum + Number.parseInt(duration, 10), 0), 18);
  assert.equal(Math.max(...STAGES.map(({ target }) => target)), 1000);
  assert.equal(STAGES.at(-1)?.target, 0);
});

test("every threshold is an aggregate, a comparison and a number", () => {
  for (const expression of Object.values(THRESHOLDS).flat()) {
    assert.match(expression, /^(p\(\d+\)|rate)[<>][\d.]+$/);
  }
});

test("the summary shows thresholds as passed or failed, with the figures", () => {
  const text = describe({
    state: { testRunDurationMs: 120_000 },
    metrics: {
      http_reqs: { values: { count: 1200, rate: 10 } },
      http_req_duration: {
        values: { "p(50)": 1, "p(90)": 2, "p(95)": 3, "p(99)": 4, max: 5 },
        thresholds: { "p(95)<2000": { ok: true } },
      },
      cache_hits: { values: { rate: 0.5 }, thresholds: { "rate>0.7": { ok: false } } },
      errors: { values: { rate: 0 } },
    },
  });
  assert.match(text, /✓ http_req_duration p\(95\)<2000/);
  assert.match(text, /✗ cache_hits rate>0\.7/);
  assert.match(text, /cache hits: 50\.00 %/);
  assert.match(text, /p\(99\) 4\.00 ms/);
});
