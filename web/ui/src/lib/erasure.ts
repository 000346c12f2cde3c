/** What the page takes away when an entity is no more: its values, its name, and its place in other answers. */

import { readEntity, type Entity } from "./entity";
import { isObject, textOf, type Json, type JsonObject } from "./json";

/** The entity with nothing told of it but its id, and the type that its mark needs. */
export const erased = ({ id, type }: Entity): Entity => ({
  id,
  type,
  reference: "",
  properties: new Map(),
  createdAt: "",
  updatedAt: "",
  edges: [],
  temporal: new Map(),
  repeated: false,
  edgesTotal: null,
  erased: true,
  raw: new Map(),
});

/** The answer as the service would give it now: an edge to an entity that is gone is left out, at each level. */
export function without(entity: Entity, id: string): Entity {
  const raw = stripped(entity.raw, id);
  return raw === entity.raw ? entity : readEntity(raw);
}

function stripped(answer: JsonObject, id: string): JsonObject {
  const edges = answer.get("edges");
  if (!Array.isArray(edges)) return answer;
  const kept: Json[] = [];
  for (const edge of edges) {
    const target = isObject(edge) ? edge.get("entity") : undefined;
    if (!isObject(edge) || !isObject(target)) kept.push(edge);
    else if (textOf(target, "id") !== id) {
      const below = stripped(target, id);
      kept.push(below === target ? edge : new Map([...edge, ["entity", below]]));
    }
  }
  const same = kept.length === edges.length && kept.every((edge, index) => edge === edges[index]);
  return same ? answer : new Map([...answer, ["edges", kept]]);
}
