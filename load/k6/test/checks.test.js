import assert from "node:assert/strict";
import { test } from "node:test";

import { isError } from "../lib/checks.js";

const good = { kind: /** @type {const} */ ("id"), status: 200, body: '{"id":7}', cacheStatus: "u; hit" };

test("a tree by id and a list by property are no errors", () => {
  assert.ok(!isError(good));
  assert.ok(!isError({ ...good, kind: "email", body: '[{"id":7}]' }));
});

test("an empty list, another status, another shape or no Cache-Status is an error", () => {
  assert.ok(isError({ ...good, kind: "email", body: "[]" }));
  assert.ok(isError({ ...good, status: 503 }));
  assert.ok(isError({ ...good, kind: "document" }));
  assert.ok(isError({ ...good, body: "" }));
  assert.ok(isError({ ...good, cacheStatus: undefined }));
});
