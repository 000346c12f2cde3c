/** The change feed: one connection for the whole page, resumed after the last event that came. */

import { apiKey, headersOf, problemOf } from "./api";
import { readEvent, type DomainEvent } from "./events";
import { MessageParser } from "./sse";

export type FeedState =
  | { readonly is: "paused" }
  | { readonly is: "connecting" }
  | { readonly is: "live" }
  | { readonly is: "waiting"; readonly seconds: number }
  /** The service refused; unless that may pass, it is not asked again until somebody starts it. */
  | { readonly is: "refused"; readonly status: number; readonly detail: string };

const KEPT = 500;
const FIRST_PAUSE_S = 1;
const LONGEST_PAUSE_S = 30;

export class Feed {
  state: FeedState = { is: "paused" };
  events: readonly DomainEvent[] = [];
  #listeners = new Set<(event: DomainEvent | null) => void>();
  #abort: AbortController | null = null;
  #lastId = "";
  #seen = new Set<string>();

  constructor(
    private readonly path = "/v1/events",
    private readonly get: typeof fetch = (input, init) => fetch(input, init),
    private readonly pause = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1000)),
  ) {}

  /** Told each event, and null for a change of state. Returns what ends it. */
  listen(listener: (event: DomainEvent | null) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  get running(): boolean {
    return this.#abort !== null;
  }

  start(): void {
    if (!this.#abort) void this.#run((this.#abort = new AbortController()));
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.#change({ is: "paused" });
  }

  clear(): void {
    this.events = [];
    this.#tell(null);
  }

  /** Drop what was told under this name: the entity is no more. */
  forget(type: string, reference: string): void {
    const isIt = (named: { readonly type: string; readonly reference: string } | null): boolean =>
      named?.type === type && named.reference === reference;
    this.events = this.events.filter((event) => !isIt(event) && !isIt(event.target));
    this.#tell(null);
  }

  /** As if it had never run. What comes next begins now, not where it was before. */
  reset(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.events = [];
    this.#lastId = "";
    this.#seen.clear();
    this.#change({ is: "paused" });
  }

  async #run(abort: AbortController): Promise<void> {
    let wait = FIRST_PAUSE_S;
    while (!abort.signal.aborted) {
      this.#change({ is: "connecting" });
      try {
        const response = await this.get(this.path, {
          headers: {
            ...headersOf(apiKey.get()),
            Accept: "text/event-stream",
            ...(this.#lastId ? { "Last-Event-ID": this.#lastId } : {}),
          },
          cache: "no-store",
          signal: abort.signal,
        });
        const problem = isStream(response) ? null : problemOf(response.status, await response.text());
        if (abort.signal.aborted) return; // another run may be under way
        if (problem || !response.body) {
          const mayPass = response.status >= 500 || response.status === 429;
          if (!mayPass) this.#abort = null;
          this.#change({ is: "refused", status: response.status, detail: problem?.detail ?? "" });
          if (!mayPass) return;
          await this.pause(LONGEST_PAUSE_S);
          continue;
        }
        this.#change({ is: "live" });
        const parser = new MessageParser();
        const reader = response.body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          if (abort.signal.aborted) return;
          wait = FIRST_PAUSE_S;
          for (const message of parser.push(part.value)) {
            if (message.id) this.#lastId = message.id;
            const event = readEvent(message);
            if (event) this.#take(event);
          }
        }
      } catch {
        // lost, or stopped: the loop's condition tells
      }
      if (abort.signal.aborted) return;
      this.#change({ is: "waiting", seconds: wait });
      await this.pause(wait);
      wait = Math.min(wait * 2, LONGEST_PAUSE_S);
    }
  }

  #take(event: DomainEvent): void {
    if (this.#seen.has(event.key)) return; // events come at least once
    this.#seen.add(event.key);
    if (this.#seen.size > 4 * KEPT) this.#seen = new Set([...this.#seen].slice(-2 * KEPT));
    this.events = [event, ...this.events].slice(0, KEPT);
    this.#tell(event);
  }

  #change(state: FeedState): void {
    this.state = state;
    this.#tell(null);
  }

  #tell(event: DomainEvent | null): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const isStream = (response: Response): boolean =>
  response.ok &&   (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
