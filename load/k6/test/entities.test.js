import assert from "node:assert/strict";
import { test } from "node:test";

import { parseEntities } from "../lib/entities.js";

test("reads the columns by name, quoted or not", () => {
  const text = 'cpf,id,note,email\r\n01234567890,7,"a, ""b""",ana@example.com\r\n';
  assert.deepEqual(parseEntities(text), [{ id: "7", email: "ana@example.com", cpf: "01234567890" }]);
});

test("an empty field keeps the others in their place", () => {
  assert.deepEqual(parseEntities("id,email,cpf\n7,,1\n"), [{ id: "7", email: "", cpf: "1" }]);
});

test("says what is wrong with a file", () => {
  assert.throws(() => parseEntities("id,email\n1,a\n"), /no column cpf/);
  assert.throws(() => parseEntities("id,email,cpf\n"), /no entities/);
  assert.throws(() => parseEntities(""), /no column id/);
});
