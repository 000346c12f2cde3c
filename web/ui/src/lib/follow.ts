/** What the change feed means to a tree: who is gone, and whom to read again. */

import { ApiError } from "./api";
import { readEntity, type Entity } from "./entity";
import type { DomainEvent } from "./events";
import type { Json } from "./json";
import type { Tree, TreeNode } from "./tree";

/** Who is gone has no type in events any more, and its id, which is never given again, for a name. */
const GONE = /^entity-(\d+)$/;

export interface Meaning {
  /** Ids that are certainly gone, whatever kind of event it is. An end under a name may be a rename. */
  readonly erased: readonly string[];
  readonly reread: readonly TreeNode[];
}

export function meaningOf(event: DomainEvent, tree: Tree): Meaning {
  const erased: string[] = [];
  const found = new Set<TreeNode>();
  for (const named of [event, event.target]) {
    const id = idOf(named);
    const node = named && id === null ? tree.named(named.type, named.reference) : undefined;
    if (id !== null && tree.full.has(id)) erased.push(id);
    if (node) found.add(node);
  }
  return { erased, reread: [...found] };
}

const idOf = (named: { readonly type: string; readonly reference: string } | null): string | null =>
  named && !named.type ? (GONE.exec(named.reference)?.[1] ?? null) : null;

/** Put a fresh answer in the node's place. True where the service has no such entity any more; the tree holds it yet. */
export async function reread(tree: Tree, node: TreeNode, read: (id: string) => Promise<Json>): Promise<boolean> {
  const { id } = node.entity;
  let fresh: Entity;
  try {
    fresh = readEntity(await read(id));
  } catch (error) {
    // Of any other failure the next change, or the next read, will tell.
    return error instanceof ApiError && error.status === 404;
  }
  // Meanwhile it may have been erased, or another answer may have taken its place.
  if (node.entity.id !== id || node.entity.erased || tree.find(node.key) !== node) return false;
  const { edges } = node.entity;
  const sameEdges =
    fresh.edges.length === edges.length &&
    fresh.edges.every((edge, index) => edge.entity.id === edges[index]!.entity.id && edge.type === edges[index]!.type);
  // Where its relationships are the same, what was loaded and collapsed below stays. A merged entity has another id.
  if (fresh.id === id && (sameEdges || node.edge_of_answer)) node.entity = { ...fresh, edges: node.edge_of_answer ? [] : edges };
  else tree.merge(node, fresh, 1);
  return false;
}
