import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseKind, DEFAULTS, nextRequest, WEIGHTS } from "../lib/mix.js";
import { between, seeded } from "../lib/random.js";

const entities = [
  { id: "7", email: "ana+1@example.com", cpf: "01234567890" },
  { id: "8", email: "joão/x@example.com", cpf: "98765432100" },
];
const options = { ...DEFAULTS, now: new Date("2026-05-31T12:00:00Z") };

test("the weights are 60, 30 and 10 percent, and are kept", () => {
  assert.deepEqual({ ...WEIGHTS }, { id: 60, email: 30, document: 10 });
  const random = seeded(1);
  const counts = { id: 0, email: 0, document: 0 };
  for (let i = 0; i < 100_000; i += 1) counts[chooseKind(random)] += 1;
  assert.ok(Math.abs(counts.id - 60_000) < 600, `${counts.id} by id`);
  assert.ok(Math.abs(counts.email - 30_000) < 600, `${counts.email} by e-mail`);
  assert.ok(Math.abs(counts.document - 10_000) < 600, `${counts.document} by document`);
});

test("the edges between kinds belong to the next kind", () => {
  assert.equal(chooseKind(() => 0.5999), "id");
  assert.equal(chooseKind(() => 0.6), "email");
  assert.equal(chooseKind(() => 0.8999), "email");
  assert.equal(chooseKind(() => 0.9), "document");
});

test("each kind asks by its own path, with the value encoded", () => {
  /** @param {number} kind */
  const path = (kind) => {
    const draws = [0.99, kind, 0, 0]; // the second entity, the kind, depth 1, the first second
    return nextRequest(entities, () => draws.shift() ?? 0, options).path;
  };
  const query = "?depth=1&period=2025-11-30T00:00:00Z";
  assert.equal(path(0), `/v1/graph/8${query}`);
  assert.equal(path(0.7), `/v1/graph/by-property/email.address/value/jo%C3%A3o%2Fx%40example.com${query}`);
  assert.equal(path(0.95), `/v1/graph/by-property/document.number/value/98765432100${query}`);
});

test("depths are 1 to 10, entities uniform, and the same seed gives the same requests", () => {
  const draw = () => {
    const random = seeded(42);
    return Array.from({ length: 5000 }, () => nextRequest(entities, random, options).path);
  };
  const paths = draw();
  assert.deepEqual(draw(), paths);
  const depths = new Set(paths.map((path) => Number(/depth=(\d+)/.exec(path)?.[1])));
  assert.deepEqual([...depths].sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("between is inclusive at both ends", () => {
  assert.equal(between(() => 0, 1, 10), 1);
  assert.equal(between(() => 0.999999, 1, 10), 10);
});
