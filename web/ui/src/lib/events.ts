/** Domain events as the page shows them; docs/events.md is their contract. */

import { isObject, parseJson, textOf, type Json } from "./json";
import type { Message } from "./sse";

export interface Change {
  readonly field: string;
  readonly old: Json;
  readonly new: Json;
}

export interface DomainEvent {
  readonly id: string;
  /** Repetitions bear the same one. */
  readonly key: string;
  readonly eventType: string;
  readonly time: string;
  readonly type: string;
  readonly reference: string;
  readonly target: { readonly type: string; readonly reference: string } | null;
  readonly changes: readonly Change[];
  readonly data: string;
}

/** Null where the message is no domain event. */
export function readEvent(message: Message): DomainEvent | null {
  let body: Json;
  try {
    body = parseJson(message.data);
  } catch {
    return null;
  }
  if (!isObject(body)) return null;
  const data = body.get("data");
  if (!isObject(data)) return null;
  const fields = data.get("properties");
  const target = textOf(data, "target_entity_reference");
  return {
    id: message.id,
    key: textOf(body, "event_idempotency_key") || message.id,
    eventType: message.event,
    time: textOf(body, "event_timestamp"),
    type: textOf(data, "type"),
    reference: textOf(data, "reference"),
    target: target ? { type: textOf(data, "target_entity_type"), reference: target } : null,
    changes: isObject(fields)
      ? [...fields].map(([field, change]) => ({
          field,
          old: isObject(change) ? shown(change.get("old")) : null,
          new: isObject(change) ? shown(change.get("new")) : null,
        }))
      : [],
    data: message.data,
  };
}

/** The value of a dated property, and of temporal data what its string holds. */
function shown(value: Json | undefined): Json {
  if (isObject(value) && value.has("value") && value.has("reference_date")) return value.get("value")!;
  if (typeof value === "string" && /^[[{]/.test(value)) {
    try {
      return parseJson(value);
    } catch {
      return value;
    }
  }
  return value ?? null;
}

/** Every word of the filter stands somewhere in the event. */
export function matches(event: DomainEvent, filter: string, eventType: string): boolean {
  if (eventType && event.eventType !== eventType) return false;
  const text = `${event.eventType} ${event.type}:${event.reference} ${event.data}`.toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
