/**
 * The mix as a list of requests, for other load generators, drawn by the modules that k6 runs:
 *
 *   node load/k6/urls.js --csv .run/entities.csv --count 20000 --seed 1 --out .run/urls.txt
 *
 * Each line is a path with its query. Prints JSON: how many of each kind, and the thresholds.
 */
import { createWriteStream, readFileSync } from "node:fs";
import { once } from "node:events";
import { parseArgs } from "node:util";

import { parseEntities } from "./lib/entities.js";
import { DEFAULTS, nextRequest } from "./lib/mix.js";
import { THRESHOLDS } from "./lib/profile.js";
import { seeded } from "./lib/random.js";

const { values } = parseArgs({
  options: {
    csv: { type: "string", default: ".run/entities.csv" },
    count: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: ".run/urls.txt" },
    "email-path": { type: "string", default: DEFAULTS.emailPath },
    now: { type: "string" },
  },
});

try {
  const entities = parseEntities(readFileSync(values.csv, "utf8"));
  const random = seeded(Number(values.seed));
  const now = values.now === undefined ? new Date() : new Date(values.now);
  const options = { ...DEFAULTS, emailPath: values["email-path"], now };
  const kinds = { id: 0, email: 0, document: 0 };
  const out = createWriteStream(values.out);
  for (let left = Number(values.count); left > 0; left -= 1) {
    const { kind, path } = nextRequest(entities, random, options);
    kinds[kind] += 1;
    if (!out.write(`${path}\n`)) await once(out, "drain");
  }
  out.end();
  await once(out, "finish");
  console.log(JSON.stringify({ kinds, thresholds: THRESHOLDS }));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
