import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../urls.js", import.meta.url));

test("writes as many paths as asked for, the same for the same seed, and tells the thresholds", () => {
  const folder = mkdtempSync(join(tmpdir(), "urls-"));
  try {
    const csv = join(folder, "entities.csv");
    writeFileSync(csv, "id,email,cpf\n1,a@example.com,11\n2,b@example.com,22\n");
    /** @param {string} seed */
    const run = (seed) => {
      const out = join(folder, `${seed}.txt`);
      const args = ["--csv", csv, "--count", "500", "--seed", seed, "--out", out, "--now", "2026-05-31T00:00:00Z"];
      const told = JSON.parse(execFileSync(process.execPath, [script, ...args], { encoding: "utf8" }));
      return { told, lines: readFileSync(out, "utf8").trimEnd().split("\n") };
    };
    const { told, lines } = run("1");
    assert.equal(lines.length, 500);
    assert.equal(told.kinds.id + told.kinds.email + told.kinds.document, 500);
    assert.deepEqual(told.thresholds.cache_hits, ["rate>0.7"]);
    assert.deepEqual(run("1").lines, lines);
    assert.notDeepEqual(run("2").lines, lines);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a missing file is one line and a failure", () => {
  const { status, stderr } = spawnSync(process.execPath, [script, "--csv", "/nonexistent.csv"], { encoding: "utf8" });
  assert.equal(status, 1);
  assert.equal(stderr.trimEnd().split("\n").length, 1);
});
