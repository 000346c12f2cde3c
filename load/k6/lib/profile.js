/** The stages of the load: virtual users, each of which sends one request after the other. */
export const STAGES = [
  { duration: "2m", target: 100 },
  { duration: "3m", target: 500 },
  { duration: "5m", target: 1000 },
  { duration: "5m", target: 1000 },
  { duration: "3m", target: 0 },
];

/**
 * What has to hold at the end. Durations in milliseconds, rates from 0 to 1.
 * @type {Record<string, string[]>}
 */
export const THRESHOLDS = {
  http_req_duration: ["p(90)<1000", "p(95)<2000", "p(99)<5000"],
  http_req_failed: ["rate<0.1"],
  errors: ["rate<0.05"],
  cache_hits: ["rate>0.7"],
};
