import { beforeAll, describe, expect, it } from "vitest";
import { matches, readEvent } from "../src/lib/events";
import { Feed } from "../src/lib/feed";
import { MessageParser } from "../src/lib/sse";

beforeAll(() => {
  Object.assign(globalThis, { sessionStorage: { getItem: () => null } });
});

const body = (key: string, reference = "u-1"): string =>
  `{"event_idempotency_key": "${key}", "event_timestamp": "2026-01-01T00:00:00.000Z", "data": {"type": "user", "reference": "${reference}",` +
  ` "properties": {"status": {"old": null, "new": {"value": "gold", "reference_date": "2026-01-01T00:00:00Z"}}, "value": {"old": "{\\"a\\": 1.50}", "new": null}}}}`;
const related = `{"event_idempotency_key": "r", "data": {"type": "user", "reference": "u-2", "target_entity_type": "user", "target_entity_reference": "u-1"}}`;
const other = `id: 0-3\nevent: entity_created\ndata: ${body("o", "u-2")}\n\n`;
const message = (id: string, key: string): string => `id: ${id}\nevent: entity_properties_updated\ndata: ${body(key)}\n\n`;

describe("MessageParser", () => {
  it("gives the same messages however the stream is cut", () => {
    const text = ': hello\r\n\r\nid: 0-1\r\nevent: a\r\ndata: one\r\ndata:two\r\n\r\ndata: three\n\nid: 0-2\rdata\r\rretry: 5\n\n';
    const whole = new MessageParser().push(`${text}x`);
    expect(whole).toEqual([
      { id: "0-1", event: "a", data: "one\ntwo" },
      { id: "0-1", event: "message", data: "three" },
      { id: "0-2", event: "message", data: "" },
    ]);
    for (let cut = 0; cut <= text.length; cut++) {
      const parser = new MessageParser();
      expect([...parser.push(text.slice(0, cut)), ...parser.push(`${text.slice(cut)}x`)]).toEqual(whole);
    }
  });
});

describe("readEvent", () => {
  const event = readEvent({ id: "0-7", event: "entity_properties_updated", data: body("k") })!;

  it("shows values, and what a string of temporal data holds, digits kept", () => {
    expect(event).toMatchObject({ id: "0-7", key: "k", type: "user", reference: "u-1", target: null });
    expect(event.changes[0]).toEqual({ field: "status", old: null, new: "gold" });
    expect(event.changes[1]!.old).toEqual(new Map([["a", expect.objectContaining({ text: "1.50" })]]));
  });

  it("passes over what is none", () => {
    expect(readEvent({ id: "", event: "x", data: "{" })).toBeNull();
    expect(readEvent({ id: "", event: "x", data: "[]" })).toBeNull();
  });

  it("fits a filter when each word occurs", () => {
    expect(matches(event, "GOLD u-1", "")).toBe(true);
    expect(matches(event, "gold silver", "")).toBe(false);
    expect(matches(event, "", "entity_deleted")).toBe(false);
  });
});

describe("Feed", () => {
  const stream = (text: string) => new Response(text, { headers: { "Content-Type": "text/event-stream" } });

  function run(answers: (() => Response | Error)[]) {
    const asked: (string | undefined)[] = [];
    const pauses: number[] = [];
    let end = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    const feed: Feed = new Feed(
      "/v1/events",
      async (_path, init) => {
        asked.push((init!.headers as Record<string, string>)["Last-Event-ID"]);
        const next = answers.shift();
        if (!next) {
          feed.stop();
          end();
          throw new Error("over");
        }
        const answered = next();
        if (answered instanceof Error) throw answered;
        return answered;
      },
      async (seconds) => void pauses.push(seconds),
    );
    feed.listen(() => feed.state.is === "refused" && feed.state.status < 500 && end());
    feed.start();
    return { feed, asked, pauses, ended };
  }

  it("goes on after the last event when the stream ends, and drops repetitions", async () => {
    const { feed, asked, ended } = run([
      () => stream(message("0-1", "a") + message("1-4", "b")),
      () => stream(message("1-4", "b") + message("1-5", "c")),
    ]);
    await ended;
    expect(asked).toEqual([undefined, "1-4", "1-5"]);
    expect(feed.events.map((event) => event.key)).toEqual(["c", "b", "a"]);
  });

  it("forgets whom it is told to forget, as a target too", async () => {
    const { feed, ended } = run([() => stream(message("0-1", "a") + `id: 0-2\nevent: relationship_created\ndata: ${related}\n\n` + other)]);
    await ended;
    expect(feed.events).toHaveLength(3);
    feed.forget("user", "u-1");
    expect(feed.events.map((event) => event.reference)).toEqual(["u-2"]);
  });

  it("begins anew after a reset: no events, no place in the stream, and none of what is under way", async () => {
    let late: ReadableStreamDefaultController<Uint8Array>;
    const asked: (string | undefined)[] = [];
    const bodies = [new ReadableStream<Uint8Array>({ start: (controller) => void (late = controller) }), new ReadableStream<Uint8Array>()];
    const feed = new Feed("/v1/events", async (_path, init) => {
      asked.push((init!.headers as Record<string, string>)["Last-Event-ID"]);
      return new Response(bodies.shift()!, { headers: { "Content-Type": "text/event-stream" } });
    });
    const came = new Promise<void>((resolve) => feed.listen((event) => event && resolve()));
    feed.start();
    while (feed.state.is !== "live") await new Promise((done) => setTimeout(done));
    late!.enqueue(new TextEncoder().encode(message("1-4", "a")));
    await came;
    feed.reset();
    expect([feed.events, feed.running, feed.state]).toEqual([[], false, { is: "paused" }]);
    late!.enqueue(new TextEncoder().encode(message("1-5", "b")));
    feed.start();
    while (feed.state.is !== "live") await new Promise((done) => setTimeout(done));
    expect(asked).toEqual([undefined, undefined]);
    expect(feed.events).toEqual([]);
  });

  it("waits longer from failure to failure", async () => {
    const { pauses, ended } = run([() => new Error("no"), () => new Error("no"), () => new Error("no")]);
    await ended;
    expect(pauses).toEqual([1, 2, 4]);
  });

  it("ends where the route is missing or a key is wanted", async () => {
    for (const status of [404, 401, 403]) {
      const { feed, asked, ended } = run([() => new Response('{"detail": "why"}', { status })]);
      await ended;
      expect(feed.state).toEqual({ is: "refused", status, detail: "why" });
      expect(feed.running).toBe(false);
      expect(asked).toHaveLength(1);
    }
  });

  it("asks again where the service is not available now", async () => {
    const { asked, pauses, ended } = run([() => new Response("", { status: 503 }), () => stream(message("0-1", "a"))]);
    await ended;
    expect(pauses[0]).toBe(30);
    expect(asked).toHaveLength(3);
  });

  it("takes an answer that is no stream for a refusal", async () => {
    const { feed, ended } = run([() => new Response("<html>", { headers: { "Content-Type": "text/html" } })]);
    await ended;
    expect(feed.state).toMatchObject({ is: "refused", status: 200 });
  });
});
