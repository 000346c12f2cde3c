/** The tree that the picture shows: an answer, and the answers that were merged into it later. */

import { displayName, type Entity } from "./entity";
import { erased, without } from "./erasure";

export interface TreeNode {
  /** Its place: the same after another read, unlike the entity's id, which may stand at several places. */
  readonly key: string;
  readonly relation: string | null;
  readonly parent: TreeNode | null;
  readonly depth: number;
  entity: Entity;
  children: TreeNode[];
  /** The answer ended here: whether there are relationships is not known. */
  edge_of_answer: boolean;
}

export class Tree {
  readonly root: TreeNode;
  /** Where each entity stands in full. */
  readonly full = new Map<string, TreeNode>();
  readonly collapsed = new Set<string>();

  constructor(entity: Entity, depth: number) {
    this.root = made(entity, null, null, "0");
    this.#grow(this.root, depth);
  }

  /** Put an answer about the node's entity in its place, below it as many levels as were asked for. */
  merge(node: TreeNode, answer: Entity, depth: number): void {
    this.#empty(node);
    node.entity = answer;
    this.full.set(answer.id, node);
    this.#grow(node, depth);
    this.#adopt();
  }

  /** Take away everything told of the entity, wherever it stood, and what hung on it. Gives whom to read then. */
  erase(id: string): TreeNode[] {
    for (const node of [...walk(this.root)]) {
      if (node.entity.id === id) {
        this.#empty(node);
        node.entity = erased(node.entity);
        node.edge_of_answer = false;
      } else node.entity = without(node.entity, id);
    }
    this.full.delete(id);
    return this.#adopt();
  }

  toggle(node: TreeNode): void {
    if (!this.collapsed.delete(node.key)) this.collapsed.add(node.key);
  }

  isCollapsed(node: TreeNode): boolean {
    return node.children.length > 0 && this.collapsed.has(node.key);
  }

  childrenOf = (node: TreeNode): readonly TreeNode[] => (this.collapsed.has(node.key) ? [] : node.children);

  /** In the order of reading, from the top. */
  visible(): TreeNode[] {
    return [...walk(this.root, this.childrenOf)];
  }

  find(key: string): TreeNode | undefined {
    for (const node of walk(this.root)) if (node.key === key) return node;
    return undefined;
  }

  /** Expand what hides the node. */
  reveal(node: TreeNode): void {
    for (let above = node.parent; above; above = above.parent) this.collapsed.delete(above.key);
  }

  /** Where an entity of this business key stands. */
  named(type: string, reference: string): TreeNode | undefined {
    for (const node of this.full.values()) {
      if (node.entity.type === type && node.entity.reference === reference) return node;
    }
    return undefined;
  }

  #empty(node: TreeNode): void {
    for (const below of walk(node)) if (this.full.get(below.entity.id) === below) this.full.delete(below.entity.id);
    node.children = [];
    this.collapsed.delete(node.key);
  }

  /** Who stood in full at a place that went away does so at another: as the end of what is known. */
  #adopt(): TreeNode[] {
    const adopted: TreeNode[] = [];
    for (const node of walk(this.root)) {
      const { entity } = node;
      if (entity.erased || this.full.has(entity.id)) continue;
      this.full.set(entity.id, node);
      node.entity = { ...entity, repeated: false };
      node.edge_of_answer = true;
      adopted.push(node);
    }
    return adopted;
  }

  /** Breadth first, so that an entity stands in full at its shallowest place, as in one answer. */
  #grow(start: TreeNode, levels: number): void {
    this.full.set(start.entity.id, start);
    let level = [start];
    for (let left = levels; level.length > 0; left--) {
      const next: TreeNode[] = [];
      for (const node of level) {
        if (node.entity.repeated || this.full.get(node.entity.id) !== node) continue;
        if (left <= 0) {
          node.edge_of_answer = true;
          continue;
        }
        node.edge_of_answer = false;
        const twins = new Map<string, number>();
        node.children = node.entity.edges.map((edge) => {
          const name = `${edge.type}>${edge.entity.id}`;
          const twin = twins.get(name) ?? 0;
          twins.set(name, twin + 1);
          const child = made(edge.entity, edge.type, node, `${node.key}/${name}${twin ? `~${twin}` : ""}`);
          if (!edge.entity.repeated && !this.full.has(edge.entity.id)) this.full.set(edge.entity.id, child);
          return child;
        });
        next.push(...node.children);
      }
      level = next;
    }
  }
}

const made = (entity: Entity, relation: string | null, parent: TreeNode | null, key: string): TreeNode => ({
  key,
  relation,
  parent,
  depth: parent ? parent.depth + 1 : 0,
  entity,
  children: [],
  edge_of_answer: false,
});

/** Whether the entity stands in full at another place. */
export const isRepeated = (tree: Tree, node: TreeNode): boolean =>
  !node.entity.erased && (node.entity.repeated || tree.full.get(node.entity.id) !== node);

/** What it is called, also where a repetition holds no properties. */
export const nameIn = (tree: Tree, node: TreeNode): string =>
  displayName((tree.full.get(node.entity.id) ?? node).entity);

/** Relationships that the answer left out. */
export const leftOut = (node: TreeNode): number =>
  node.entity.edgesTotal === null ? 0 : Math.max(0, node.entity.edgesTotal - node.entity.edges.length);

/** Whether another read would show more below it. */
export const canLoad = (tree: Tree, node: TreeNode): boolean =>
  !node.entity.erased && !isRepeated(tree, node) && (node.edge_of_answer || leftOut(node) > 0);

export function* walk(
  from: TreeNode,
  childrenOf: (node: TreeNode) => readonly TreeNode[] = (node) => node.children,
): Generator<TreeNode> {
  const stack = [from];
  for (let node = stack.pop(); node; node = stack.pop()) {
    yield node;
    const children = childrenOf(node);
    for (let index = children.length - 1; index >= 0; index--) stack.push(children[index]!);
  }
}
