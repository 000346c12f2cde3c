import assert from "node:assert/strict";
import { test } from "node:test";

import { findEmailPath } from "../lib/email-path.js";

const entities = [{ id: "7", email: "ana+1@example.com", cpf: "01234567890" }];

/** @param {string} path */
function serviceWith(path) {
  /** @param {string} asked */
  return (asked) => (asked === `/v1/graph/by-property/${path}/value/ana%2B1%40example.com?depth=1` ? '[{"id":7}]' : "[]");
}

test("the path that finds the first entity is taken", () => {
  assert.equal(findEmailPath(entities, serviceWith("email")), "email");
  assert.equal(findEmailPath(entities, serviceWith("email.address")), "email.address");
});

test("a service without the entity is an error that says so", () => {
  assert.throws(() => findEmailPath(entities, () => "[]"), /another database/);
});
