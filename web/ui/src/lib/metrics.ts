/** The text of `/metrics` (Prometheus text format 0.0.4), and what is read from it. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type Metrics = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)/gy;
const ESCAPED: Readonly<Record<string, string>> = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** Lines that are no samples are passed over. */
export function parseMetrics(text: string): Metrics {
  const found = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    if (!line || line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (!match) continue;
    const [, name, inner, number] = match;
    const value = number === "+Inf" ? Infinity : number === "-Inf" ? -Infinity : Number(number);
    const labels: Record<string, string> = {};
    for (const [, label, content] of (inner ?? "").matchAll(LABEL)) {
      labels[label!] = content!.replace(/\\[n"\\]/g, (sign) => ESCAPED[sign]!);
    }
    const samples = found.get(name!) ?? [];
    samples.push({ name: name!, labels, value });
    found.set(name!, samples);
  }
  return found;
}

type Where = (labels: Readonly<Record<string, string>>) => boolean;

/** The sum of a metric's samples; null where there is none. */
export function sumOf(metrics: Metrics, name: string, where: Where = () => true): number | null {
  const samples = (metrics.get(name) ?? []).filter((sample) => where(sample.labels));
  return samples.length > 0 ? samples.reduce((sum, sample) => sum + sample.value, 0) : null;
}

/** The sums by one label. */
export function sumsBy(metrics: Metrics, name: string, label: string, where: Where = () => true): Map<string, number> {
  const sums = new Map<string, number>();
  for (const sample of metrics.get(name) ?? []) {
    if (!where(sample.labels)) continue;
    const key = sample.labels[label] ?? "";
    sums.set(key, (sums.get(key) ?? 0) + sample.value);
  }
  return sums;
}

/** What a counter rose by. One that fell began again, in another process: what it shows came since. */
export function increase(before: number | null, now: number | null): number {
  if (now === null) return 0;
  const old = before ?? 0;
  return now >= old ? now - old : now;
}

/** The quantile of what a histogram counted between two readings, as Prometheus interpolates it; null without any. */
export function quantile(before: Metrics, now: Metrics, name: string, q: number, where: Where): number | null {
  const bucket = `${name}_bucket`;
  const old = sumsBy(before, bucket, "le", where);
  const buckets = [...sumsBy(now, bucket, "le", where)]
    .map(([le, count]) => ({ le: le === "+Inf" ? Infinity : Number(le), count: increase(old.get(le) ?? null, count) }))
    .sort((a, b) => a.le - b.le);
  const total = buckets[buckets.length - 1]?.count ?? 0;
  if (total === 0) return null;
  let below = 0;
  let from = 0;
  for (const { le, count } of buckets) {
    if (count >= q * total) {
      if (le === Infinity) return from;
      return count === below ? le : from + ((le - from) * (q * total - below)) / (count - below);
    }
    below = count;
    from = le;
  }
  return from;
}
