/**
 * The load test of the graph API, for k6:
 *
 *   k6 run -e CSV=../../.run/entities.csv -e BASE_URL=http://127.0.0.1:8888 load/k6/graph.js
 *
 * The API key of PROFILE_API_KEY is sent, where there is one. CSV is relative to this file. EMAIL_PATH names the property that holds the address; without it, the one is taken by
 * which the service finds the first user.
 */
import { check } from "k6";
import { SharedArray } from "k6/data";
import http from "k6/http";
import { Rate, Trend } from "k6/metrics";

import { headerOf, isHit } from "./lib/cache-status.js";
import { CHECKS, isError } from "./lib/checks.js";
import { findEmailPath } from "./lib/email-path.js";
import { parseEntities } from "./lib/entities.js";
import { DEFAULTS, nextRequest } from "./lib/mix.js";
import { STAGES, THRESHOLDS } from "./lib/profile.js";
import { describe } from "./lib/summary.js";

const BASE_URL = __ENV.BASE_URL || "http://127.0.0.1:8888";
/** @type {Record<string, string>} */
const HEADERS = __ENV.PROFILE_API_KEY ? { Authorization: `Bearer ${__ENV.PROFILE_API_KEY}` } : {};
const CSV = __ENV.CSV || "../../.run/entities.csv";

/** @type {import("k6/options").Options} */
export const options = {
  stages: STAGES,
  thresholds: THRESHOLDS,
  summaryTrendStats: ["avg", "min", "p(50)", "p(90)", "p(95)", "p(99)", "max"],
};

const errors = new Rate("errors");
const cacheHits = new Rate("cache_hits");
const responseTime = new Trend("response_time", true);

// Read once for all virtual users.
const entities = new SharedArray("entities", () => parseEntities(open(CSV)));

export function setup() {
  const get = (/** @type {string} */ path) => String(http.get(BASE_URL + path, { headers: HEADERS }).body);
  return { emailPath: __ENV.EMAIL_PATH || findEmailPath(entities, get) };
}

/** @param {{ emailPath: string }} found */
export default function ({ emailPath }) {
  const { kind, path } = nextRequest(entities, Math.random, {
    ...DEFAULTS,
    emailPath,
    now: new Date(),
  });
  // One name for each kind, or every URL would be a time series of its own.
  const response = http.get(BASE_URL + path, { headers: HEADERS, tags: { name: `graph by ${kind}` } });
  const outcome = {
    kind,
    status: response.status,
    body: typeof response.body === "string" ? response.body : "",
    cacheStatus: headerOf(response.headers, "Cache-Status"),
  };
  check(outcome, CHECKS);
  errors.add(isError(outcome));
  cacheHits.add(isHit(outcome.cacheStatus));
  responseTime.add(response.timings.duration);
}

/** @param {import("./lib/summary.js").Summary} data */
export function handleSummary(data) {
  return { stdout: describe(data) };
}
