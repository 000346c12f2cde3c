import assert from "node:assert/strict";
import { test } from "node:test";

import { headerOf, isHit } from "../lib/cache-status.js";

for (const header of ["user-profile; hit", "user-profile;hit;ttl=30", "cdn; fwd=miss, user-profile; hit", "x; hit=?1"]) {
  test(`hit: ${header}`, () => assert.ok(isHit(header)));
}

for (const header of [
  undefined,
  "",
  "hit",
  "user-profile; fwd=miss; stored",
  "user-profile; hit=?0",
  "user-profile; fwd=bypass; detail=hit",
  'user-profile; fwd=miss; detail="x; hit, y; hit"',
  "user-profile; hits=3",
]) {
  test(`no hit: ${header}`, () => assert.ok(!isHit(header)));
}

test("a header is found whatever the case of its name", () => {
  assert.equal(headerOf({ "cache-status": "a; hit" }, "Cache-Status"), "a; hit");
  assert.equal(headerOf({ Etag: "x" }, "Cache-Status"), undefined);
});
