/** Temporal data as series of numbers, and the scales of their charts. */

import type { Point } from "./entity";
import { isObject, JsonNumber, type Json } from "./json";

export interface Sample {
  readonly time: number;
  readonly date: string;
  readonly value: number;
  /** The digits as they are stored. */
  readonly text: string;
}

export interface Series {
  readonly name: string;
  readonly samples: Sample[];
}

const GRANULARITIES = ["instant", "day", "week", "month", "quarter", "year"];

/** Those that occur, from fine to coarse. */
export function granularitiesOf(points: readonly Point[]): string[] {
  const found = new Set(points.map((point) => point.granularity));
  return [...found].sort((a, b) => GRANULARITIES.indexOf(a) - GRANULARITIES.indexOf(b));
}

/** One series for each number within the values, oldest sample first; "" names a value that is a number itself. */
export function seriesOf(points: readonly Point[], granularity: string): Series[] {
  const found = new Map<string, Sample[]>();
  const ordered = points
    .filter((point) => point.granularity === granularity)
    .map((point) => ({ point, time: Date.parse(point.date) }))
    .filter(({ time }) => !Number.isNaN(time))
    .sort((a, b) => a.time - b.time);
  for (const { point, time } of ordered) {
    for (const [name, number] of numbersOf(point.value, "")) {
      const samples = found.get(name) ?? [];
      samples.push({ time, date: point.date, value: number.value, text: number.text });
      found.set(name, samples);
    }
  }
  return [...found].map(([name, samples]) => ({ name, samples }));
}

function* numbersOf(value: Json, path: string): Generator<[string, JsonNumber]> {
  if (value instanceof JsonNumber) yield [path, value];
  else if (isObject(value)) {
    for (const [name, item] of value) yield* numbersOf(item, path ? `${path} · ${name}` : name);
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* numbersOf(item, nameOf(item, index, path));
  }
}

/** An item of a list goes by its first member that is text: places in a list change from point to point. */
function nameOf(item: Json, index: number, path: string): string {
  const label = isObject(item) ? [...item.values()].find((member) => typeof member === "string") : undefined;
  if (typeof label === "string") return label;
  return path ? `${path} · ${index + 1}` : String(index + 1);
}

export interface Scale {
  readonly low: number;
  readonly high: number;
  readonly ticks: number[];
}

/** Round ticks from zero, or from below it. */
export function scaleOf(values: readonly number[], wanted = 3): Scale {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  if (low === high) return { low: 0, high: 1, ticks: [0, 1] };
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const first = Math.floor(low / step);
  const last = Math.ceil(high / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
  return { low: first * step, high: last * step, ticks };
}
