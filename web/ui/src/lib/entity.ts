/** An entity as the API answers it. Ids stay text: they have 64 bits. */

import { isObject, JsonNumber, textOf, type Json, type JsonObject } from "./json";

export interface Property {
  readonly value: Json;
  readonly date: string;
}

export interface Point {
  readonly value: Json;
  readonly granularity: string;
  readonly date: string;
}

export interface Edge {
  readonly type: string;
  readonly metadata: JsonObject | null;
  readonly entity: Entity;
}

export interface Entity {
  readonly id: string;
  readonly type: string;
  readonly reference: string;
  readonly properties: ReadonlyMap<string, Property>;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly edges: readonly Edge[];
  readonly temporal: ReadonlyMap<string, readonly Point[]>;
  /** It stands in full elsewhere in the same answer. */
  readonly repeated: boolean;
  /** How many relationships it has, where the answer left some out. */
  readonly edgesTotal: number | null;
  /** It is no more, and nothing of it is held. */
  readonly erased: boolean;
  readonly raw: JsonObject;
}

/** Throws TypeError where it is no entity. */
export function readEntity(json: Json): Entity {
  if (!isObject(json) || !json.has("id")) throw new TypeError("The answer holds no entity.");
  const properties = new Map<string, Property>();
  for (const [name, stored] of members(json, "properties")) {
    if (isObject(stored)) {
      properties.set(name, { value: stored.get("value") ?? null, date: textOf(stored, "reference_date") });
    }
  }
  const temporal = new Map<string, Point[]>();
  for (const [key, points] of members(json, "temporal_data")) {
    if (!Array.isArray(points)) continue;
    temporal.set(
      key,
      points.filter(isObject).map((point) => ({
        value: point.get("value") ?? null,
        granularity: textOf(point, "granularity"),
        date: textOf(point, "reference_date"),
      })),
    );
  }
  const edges = json.get("edges");
  const truncated = json.get("truncated");
  const total = isObject(truncated) ? truncated.get("edges_total") : undefined;
  return {
    id: textOf(json, "id"),
    type: textOf(json, "type"),
    reference: textOf(json, "reference"),
    properties,
    createdAt: textOf(json, "created_at"),
    updatedAt: textOf(json, "updated_at"),
    edges: Array.isArray(edges) ? edges.filter(isObject).map(readEdge) : [],
    temporal,
    repeated: json.get("repeated") === true,
    edgesTotal: total instanceof JsonNumber ? total.value : null,
    erased: false,
    raw: json,
  };
}

function readEdge(edge: JsonObject): Edge {
  const metadata = edge.get("metadata");
  return {
    type: textOf(edge, "type"),
    metadata: isObject(metadata) ? metadata : null,
    entity: readEntity(edge.get("entity") ?? null),
  };
}

function members(object: JsonObject, name: string): JsonObject {
  const found = object.get(name);
  return isObject(found) ? found : new Map();
}

const NAMES = ["full_name", "name", "title", "company_name", "display_name", "email", "label"];

/** What people call it: a property that is a name, else its reference. */
export function displayName(entity: Entity): string {
  for (const name of NAMES) {
    const value = entity.properties.get(name)?.value;
    if (typeof value === "string" && value.trim()) return value;
  }
  return entity.reference || `#${entity.id}`;
}
