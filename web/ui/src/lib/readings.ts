/** What the operations view shows, from one reading of `/metrics` to the next. */

import { increase, parseMetrics, quantile, sumOf, sumsBy, type Metrics } from "./metrics";
import { isObject, parseJson, textOf, type Json } from "./json";

export interface Reading {
  readonly atMs: number;
  readonly metrics: Metrics;
}

export interface Rates {
  readonly recordsPerS: number;
  readonly requestsPerS: number;
  /** Of graph reads since the last reading; null without any. */
  readonly hitRatio: number | null;
  readonly p99S: number | null;
  readonly lag: number | null;
  readonly memoryBytes: number | null;
  readonly cdcLagS: number | null;
}

export interface TopicRow {
  readonly topic: string;
  readonly perS: number;
  readonly lag: number | null;
  readonly total: number;
  readonly letters: number;
}

export interface Dependency {
  readonly name: string;
  /** Which process tells it, where a worker has several; else empty. */
  readonly process: string;
  readonly ready: boolean;
  readonly required: boolean;
  readonly detail: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly dependencies: readonly Dependency[];
}

const REQUESTS = "profile_http_request_seconds";
const READS = (labels: Readonly<Record<string, string>>): boolean => (labels.route ?? "").startsWith("/v1/graph");
// This page's own questions are no load worth telling.
const OWN = new Set(["/metrics", "/readyz", "/", "/assets/{name}"]);
const ASKED = (labels: Readonly<Record<string, string>>): boolean => !OWN.has(labels.route ?? "");

export const readingOf = (text: string, atMs: number): Reading => ({ atMs, metrics: parseMetrics(text) });

export function ratesOf(before: Reading, now: Reading): Rates {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
  const rise = (name: string, where?: (labels: Readonly<Record<string, string>>) => boolean): number =>
    increase(sumOf(before.metrics, name, where), sumOf(now.metrics, name, where));
  const outcome = (cache: string): number => rise(`${REQUESTS}_count`, (labels) => READS(labels) && labels.cache === cache);
  const hits = outcome("hit");
  const reads = hits + outcome("miss") + outcome("bypass");
  return {
    recordsPerS: rise("profile_records_total") / seconds,
    requestsPerS: rise(`${REQUESTS}_count`, ASKED) / seconds,
    hitRatio: reads > 0 ? hits / reads : null,
    p99S: quantile(before.metrics, now.metrics, REQUESTS, 0.99, ASKED),
    lag: sumOf(now.metrics, "profile_consumer_lag_records"),
    memoryBytes: sumOf(now.metrics, "process_resident_memory_bytes"),
    cdcLagS: sumOf(now.metrics, "profile_cdc_lag_seconds"),
  };
}

/** Every topic that the worker reads or has read, by name. */
export function topicsOf(before: Reading, now: Reading): TopicRow[] {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
  const old = sumsBy(before.metrics, "profile_records_total", "topic");
  const totals = sumsBy(now.metrics, "profile_records_total", "topic");
  const lags = sumsBy(now.metrics, "profile_consumer_lag_records", "topic");
  const letters = sumsBy(now.metrics, "profile_dead_letters_total", "topic");
  const names = [...new Set([...totals.keys(), ...lags.keys(), ...letters.keys()])].sort();
  return names.map((topic) => ({
    topic,
    total: totals.get(topic) ?? 0,
    perS: increase(old.get(topic) ?? null, totals.get(topic) ?? null) / seconds,
    lag: lags.get(topic) ?? null,
    letters: letters.get(topic) ?? 0,
  }));
}

/** Of the whole life of the process. */
export function hitRatioSinceStart(metrics: Metrics): number | null {
  const by = sumsBy(metrics, `${REQUESTS}_count`, "cache", READS);
  const reads = (by.get("hit") ?? 0) + (by.get("miss") ?? 0) + (by.get("bypass") ?? 0);
  return reads > 0 ? (by.get("hit") ?? 0) / reads : null;
}

export function readReadiness(text: string): Readiness {
  const body: Json = parseJson(text);
  const listed = isObject(body) ? body.get("dependencies") : null;
  return {
    ready: isObject(body) && textOf(body, "status") === "ready",
    dependencies: (Array.isArray(listed) ? listed : []).filter(isObject).map((one) => ({
      name: textOf(one, "name"),
      process: textOf(one, "process"),
      ready: one.get("ready") === true,
      required: one.get("required") === true,
      detail: textOf(one, "detail"),
    })),
  };
}

/** The worst of the replicas, in bytes, from what they tell in words; null where none tells. */
export function replicaLagBytes(readiness: Readiness): number | null {
  const told = readiness.dependencies
    .filter((one) => one.name.startsWith("postgres-replica"))
    .map((one) => /(\d+) bytes behind/.exec(one.detail)?.[1])
    .filter((digits) => digits !== undefined);
  return told.length > 0 ? Math.max(...told.map(Number)) : null;
}

export const connectorOf = (readiness: Readiness): Dependency | undefined =>
  readiness.dependencies.find((one) => /connect/i.test(one.name));
