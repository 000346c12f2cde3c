/**
 * @typedef {{ values: Record<string, number>, thresholds?: Record<string, { ok: boolean }> }} Metric
 * @typedef {{ metrics: Record<string, Metric>, state: { testRunDurationMs: number } }} Summary
 */

/**
 * The end of a run as text: the thresholds with ✓ or ✗, then the figures to compare.
 * @param {Summary} data
 */
export function describe(data) {
  const lines = ["", `Load test of ${(data.state.testRunDurationMs / 1000).toFixed(1)} seconds`, "", "THRESHOLDS"];
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [expression, { ok }] of Object.entries(metric.thresholds ?? {})) {
      lines.push(`  ${ok ? "✓" : "✗"} ${name} ${expression}`);
    }
  }
  const { http_reqs: requests, http_req_duration: duration, cache_hits: hits, errors } = data.metrics;
  lines.push("", "RESULTS", `  requests: ${requests.values.count} (${requests.values.rate.toFixed(1)}/s)`);
  const percentiles = ["p(50)", "p(90)", "p(95)", "p(99)", "max"].map(
    (name) => `${name} ${duration.values[name]?.toFixed(2) ?? "-"} ms`,
  );
  lines.push(`  latency: ${percentiles.join(", ")}`, `  cache hits: ${percent(hits)}`, `  errors: ${percent(errors)}`);
  return `${lines.join("\n")}\n`;
}

/** @param {Metric | undefined} metric */
function percent(metric) {
  return metric === undefined ? "none counted" : `${(metric.values.rate * 100).toFixed(2)} %`;
}
