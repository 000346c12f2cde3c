import { beforeEach, describe, expect, it } from "vitest";
import { apiKey, nextLink, problemOf, takeKey } from "../src/lib/api";
import { idOf, readDeadLetters, replayPath } from "../src/lib/dead-letters";
import { kindOf } from "../src/lib/kinds";
import { parseJson } from "../src/lib/json";
import { curlOf, pathOf, readRoute, writeRoute, type Route } from "../src/lib/route";
import { granularitiesOf, scaleOf, seriesOf } from "../src/lib/series";
import { Camera } from "../src/picture/camera";
import { forget, forgetAll, recent, remember } from "../src/views/recent";

/** Stands in for the browser's, empty. */
function storage(): void {
  const kept = new Map<string, string>();
  Object.assign(globalThis, {
    sessionStorage: {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    },
  });
}

describe("the key of a fragment", () => {
  beforeEach(storage);

  it("is kept for the tab, and the fragment goes", () => {
    const key = `upk_${"a1".repeat(6)}_${"0f".repeat(32)}`;
    expect(takeKey(`#key=${key}`)).toBe("#/explore");
    expect(apiKey.get()).toBe(key);
    apiKey.set("");
  });

  it.each(["", "#/live", "#key=", "#key=nonsense", "#/explore?key=upk_1_2"])("is not taken from %s", (hash) => {
    expect(takeKey(hash)).toBeNull();
    expect(apiKey.get()).toBe("");
  });
});

describe("routes", () => {
  const routes: Route[] = [
    { view: "live" },
    { view: "operations" },
    { view: "explore", search: null, depth: 3, period: "" },
    { view: "explore", search: { by: "id", id: "7" }, depth: 10, period: "2025-01-01T00:00:00Z" },
    { view: "explore", search: { by: "reference", type: "a/b", reference: "x&y=#ç" }, depth: 3, period: "" },
    { view: "explore", search: { by: "property", property: "document.number", value: " é?" }, depth: 1, period: "" },
  ];
  it.each(routes.map((route) => [writeRoute(route), route] as const))("%s leads back", (text, route) => {
    expect(readRoute(text)).toEqual(route);
  });

  it("mends a depth that is none", () => {
    expect(readRoute("#/explore?id=1&depth=99")).toMatchObject({ depth: 3 });
  });

  it("asks the API with every part encoded", () => {
    expect(pathOf({ by: "reference", type: "a/b", reference: "ç ?" }, 2, "")).toBe("/v1/graph/by-reference/a%2Fb/%C3%A7%20%3F?depth=2");
    expect(pathOf({ by: "id", id: "1" }, 1, "2025-01-01T00:00:00Z")).toBe("/v1/graph/1?depth=1&period=2025-01-01T00%3A00%3A00Z");
  });

  it("writes a curl line that a shell can't misread", () => {
    expect(curlOf("http://h", "/v1/graph/by-reference/a/it's", false)).toBe("curl 'http://h/v1/graph/by-reference/a/it%27s'");
    expect(curlOf("http://h", "/x", true)).toContain("Bearer $PROFILE_API_KEY");
  });
});

describe("series", () => {
  const point = (value: string, granularity: string, date: string) => ({ value: parseJson(value), granularity, date });
  const points = [
    point('{"items": [{"method": "pix", "amount": 2.50}, {"method": "visa", "amount": 1}]}', "month", "2025-02-01T00:00:00Z"),
    point('{"items": [{"method": "visa", "amount": 7}]}', "month", "2025-01-01T00:00:00Z"),
    point("9", "day", "2025-01-01T00:00:00Z"),
    point("9", "day", "no date"),
  ];

  it("follows each number, items of lists by their name, oldest first", () => {
    const found = seriesOf(points, "month");
    expect(found.map(({ name, samples }) => [name, samples.map((sample) => sample.text)])).toEqual([
      ["visa · amount", ["7", "1"]],
      ["pix · amount", ["2.50"]],
    ]);
    expect(seriesOf(points, "day")).toMatchObject([{ name: "", samples: [{ value: 9 }] }]);
    expect(granularitiesOf(points)).toEqual(["day", "month"]);
  });

  it.each([[[0, 7]], [[-3, 12.5]], [[0]], [[1e12, 3]], [[0.001, 0.0004]]])("has ticks around %j", (values) => {
    const { low, high, ticks } = scaleOf(values);
    expect(low).toBeLessThanOrEqual(Math.min(0, ...values));
    expect(high).toBeGreaterThanOrEqual(Math.max(...values));
    expect(high).toBeGreaterThan(low);
    expect(ticks.length).toBeGreaterThan(1);
    expect(ticks.length).toBeLessThan(9);
  });
});

describe("kinds", () => {
  it("tells apart by colour and by shape", () => {
    const known = ["user", "organization", "device", "segment", "affiliation", "account", "product", "unknown"].map(kindOf);
    expect(new Set(known.map((kind) => kind.shape)).size).toBe(8);
    expect(new Set(known.map((kind) => kind.colour)).size).toBe(8);
    expect(kindOf("constructor")).toEqual(kindOf("constructor"));
    expect(kindOf("anything").colour).not.toBe(7);
  });
});

it("remembers what was opened until it is told to forget", () => {
  storage();
  const one = { by: "id", id: "1" } as const;
  const other = { by: "property", property: "email", value: "ana@email.com" } as const;
  remember(one);
  remember(other);
  expect(recent()).toEqual([other, one]);
  forget(other);
  expect(recent()).toEqual([one]);
  forgetAll();
  expect(recent()).toEqual([]);
});

describe("Camera", () => {
  it("keeps what is under the pointer there", () => {
    const camera = Object.assign(new Camera(), { width: 800, height: 600, x: 40, y: -7, k: 0.7 });
    const before = camera.toWorld(123, 456);
    camera.zoom(1.7, 123, 456);
    const after = camera.toWorld(123, 456);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
    expect(camera.toScreen(...after)[0]).toBeCloseTo(123);
  });
});

describe("dead letters", () => {
  it("are read as the service tells them", () => {
    const place = '"topic": "temporal-data", "partition": 1, "offset": 42';
    const one = `{"id": "temporal-data/1/42", ${place}, "error": "not-json", "reason": "no", "key": {"text": "user:1"}, "timestamp": null}`;
    const other = '{"topic": "a b", "partition": 0, "offset": 9007199254740993, "error": "x", "reason": "y", "key": {"base64": "/w=="}}';
    const [first, second, third] = readDeadLetters(parseJson(`[${one}, ${other}, {"reason": "placeless"}]`));
    expect(idOf(first!)).toBe("temporal-data/1/42");
    expect(replayPath(second!)).toBe("/v1/dead-letters/a%20b/0/9007199254740993/replay");
    expect([first!.key, second!.key, third]).toEqual(["user:1", "/w==", undefined]);
    expect(readDeadLetters(parseJson("7"))).toEqual([]);
  });
});

it("reads problems, and pages that are none", () => {
  expect(problemOf(404, '{"title": "T", "detail": "D", "request_id": "r"}')).toMatchObject({ status: 404, title: "T", detail: "D", requestId: "r" });
  expect(problemOf(502, "<html>")).toMatchObject({ status: 502, title: "", detail: "" });
});

it("finds the next page", () => {
  expect(nextLink(new Headers({ Link: '</v1/x?cursor=a>; rel="next"' }))).toBe("/v1/x?cursor=a");
  expect(nextLink(new Headers())).toBeNull();
});
