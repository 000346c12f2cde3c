import { describe, expect, it } from "vitest";
import { increase, parseMetrics, quantile, sumOf, sumsBy } from "../src/lib/metrics";
import { hitRatioSinceStart, ratesOf, readingOf, readReadiness, replicaLagBytes, topicsOf } from "../src/lib/readings";

const PAGE = `# HELP profile_records_total Records
# TYPE profile_records_total counter
profile_records_total{topic="entities-edges"} 100.0
profile_records_total{topic="temporal-data"} 50.0
profile_consumer_lag_records{partition="0",topic="temporal-data"} 7.0
profile_consumer_lag_records{partition="1",topic="temporal-data"} 3.0
odd{text="a\\"b\\\\c\\nd, e=\\"}",other="x"} 1e3 1700000000000
limit{le="+Inf"} +Inf
profile_http_request_seconds_count{cache="hit",route="/v1/graph/{id}",status="200"} 30.0
profile_http_request_seconds_count{cache="miss",route="/v1/graph/{id}",status="200"} 10.0
profile_http_request_seconds_count{cache="-",route="/metrics",status="200"} 500.0
not a sample
`;

describe("parseMetrics", () => {
  const metrics = parseMetrics(PAGE);

  it("sums by label", () => {
    expect(sumOf(metrics, "profile_records_total")).toBe(150);
    expect([...sumsBy(metrics, "profile_consumer_lag_records", "topic")]).toEqual([["temporal-data", 10]]);
    expect(sumOf(metrics, "absent")).toBeNull();
  });

  it("reads escaped labels, braces in them, timestamps and infinities", () => {
    expect(metrics.get("odd")).toEqual([{ name: "odd", labels: { text: 'a"b\\c\nd, e="}', other: "x" }, value: 1000 }]);
    expect(metrics.get("limit")![0]!.value).toBe(Infinity);
    expect(metrics.get("profile_http_request_seconds_count")![0]!.labels.route).toBe("/v1/graph/{id}");
  });
});

describe("increase", () => {
  it.each([[null, 5, 5], [3, 5, 2], [5, 2, 2], [5, null, 0]])("from %s to %s is %s", (before, now, rise) => {
    expect(increase(before, now)).toBe(rise);
  });
});

it("interpolates quantiles of what came between two readings", () => {
  const page = (a: number, b: number, c: number) => parseMetrics(`t_bucket{le="0.1"} ${a}\nt_bucket{le="1.0"} ${b}\nt_bucket{le="+Inf"} ${c}\n`);
  const all = () => true;
  expect(quantile(page(1000, 1000, 1000), page(1050, 1100, 1100), "t", 0.5, all)).toBeCloseTo(0.1);
  expect(quantile(page(0, 0, 0), page(0, 100, 100), "t", 0.5, all)).toBeCloseTo(0.55);
  expect(quantile(page(0, 0, 0), page(0, 0, 10), "t", 0.5, all)).toBe(1);
  expect(quantile(page(3, 3, 3), page(3, 3, 3), "t", 0.5, all)).toBeNull();
});

describe("readings", () => {
  const before = readingOf(PAGE, 0);
  const now = readingOf(
    PAGE.replace('edges"} 100.0', 'edges"} 300.0').replace("} 30.0", "} 39.0").replace("} 10.0", "} 11.0").replace("} 500.0", "} 900.0"),
    2000,
  );

  it("gives rates, and leaves out this page's own questions", () => {
    expect(ratesOf(before, now)).toMatchObject({ recordsPerS: 100, requestsPerS: 5, hitRatio: 0.9, lag: 10 });
  });

  it("has no ratio without reads, but one since the start", () => {
    expect(ratesOf(before, before).hitRatio).toBeNull();
    expect(hitRatioSinceStart(before.metrics)).toBe(0.75);
  });

  it("lists topics", () => {
    expect(topicsOf(before, now)).toEqual([
      { topic: "entities-edges", total: 300, perS: 100, lag: null, letters: 0 },
      { topic: "temporal-data", total: 50, perS: 0, lag: 10, letters: 0 },
    ]);
  });

  it("tells states of one name apart by the process", () => {
    const { dependencies } = readReadiness(
      '{"status":"ready","dependencies":[{"name":"partitions","ready":true,"required":true,"detail":"","process":"ingest"},' +
        '{"name":"partitions","ready":true,"required":true,"detail":"","process":"cdc"},{"name":"redis","ready":true,"required":false,"detail":""}]}',
    );
    expect(dependencies.map((one) => [one.process, one.name])).toEqual([["ingest", "partitions"], ["cdc", "partitions"], ["", "redis"]]);
  });

  it("reads how far replicas are behind", () => {
    const readiness = readReadiness(
      '{"status":"ready","dependencies":[{"name":"postgres-replica-1","ready":true,"required":false,"detail":"answers, 40 bytes behind"},' +
        '{"name":"postgres-replica-2","ready":false,"required":false,"detail":"does not answer (TimeoutError)"}]}',
    );
    expect(readiness.ready).toBe(true);
    expect(replicaLagBytes(readiness)).toBe(40);
  });
});
