import { readEntity, type Entity } from "../src/lib/entity";
import { readEvent, type DomainEvent } from "../src/lib/events";
import { parseJson } from "../src/lib/json";

/** An entity of the API; each child is `[relation, entity]`. */
export function answer(id: number, children: [string, string][] = [], more = ""): string {
  const edges = children.map(([type, entity]) => `{"type": "${type}", "entity": ${entity}}`).join(",");
  return `{"id": ${id}, "type": "user", "reference": "u-${id}", "properties": {}, "edges": [${edges}], "temporal_data": {}${more}}`;
}

export const repeated = (id: number): string => `{"id": ${id}, "type": "user", "reference": "u-${id}", "repeated": true}`;

export const entity = (text: string): Entity => readEntity(parseJson(text));

/** A domain event about `data`, as the feed reads it. */
export const event = (eventType: string, data: Readonly<Record<string, unknown>>, key = eventType): DomainEvent =>
  readEvent({ id: key, event: eventType, data: JSON.stringify({ event_idempotency_key: key, data: { properties: {}, ...data } }) })!;
