/** Where the nodes of a tree stand: in columns by level, or in rings around the root. */

export interface Place {
  x: number;
  y: number;
  /** The direction away from the root, where it matters. */
  angle: number;
}

export interface Bounds {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Layout<T> {
  readonly kind: LayoutKind;
  readonly places: Map<T, Place>;
  readonly bounds: Bounds;
}

export type LayoutKind = "columns" | "rings";

export const CARD = { width: 204, height: 46 };
export const COLUMN = 334;
export const ROW = 60;
const RING = 170;
const SPOT = 34; // on a ring, between two leaves
const STAGGER = 26; // between the sub-rings of a crowded ring

type ChildrenOf<T> = (node: T) => readonly T[];

export function columns<T>(root: T, childrenOf: ChildrenOf<T>): Layout<T> {
  const places = new Map<T, Place>();
  let row = 0;
  const put = (node: T, level: number): number => {
    const below = childrenOf(node);
    const ys = below.map((child) => put(child, level + 1));
    const y = ys.length > 0 ? (ys[0]! + ys[ys.length - 1]!) / 2 : row++ * ROW;
    places.set(node, { x: level * COLUMN, y, angle: 0 });
    return y;
  };
  put(root, 0);
  return { kind: "columns", places, bounds: boundsOf(places.values(), CARD.width / 2 + 12, CARD.height / 2 + 12) };
}

export function rings<T>(root: T, childrenOf: ChildrenOf<T>): Layout<T> {
  const places = new Map<T, Place>();
  const depths = new Map<T, number>();
  const leaves: number[] = [];
  let total = 0;
  const count = (node: T, depth: number): void => {
    depths.set(node, depth);
    const below = childrenOf(node);
    if (below.length === 0) {
      total++;
      leaves[depth] = (leaves[depth] ?? 0) + 1;
    }
    for (const child of below) count(child, depth + 1);
  };
  count(root, 0);

  // A ring is large enough for what stands on it: inner nodes are few, so its leaves decide.
  const radii = [0];
  const stagger: number[] = [1];
  const last = Math.max(...depths.values());
  for (let depth = 1; depth <= last; depth++) {
    const many = leaves[depth] ?? 0;
    stagger[depth] = many > 400 ? 5 : many > 60 ? 3 : 1;
    const crowd = (total * SPOT) / (2 * Math.PI * stagger[depth]!);
    const inner = radii[depth - 1]! + (stagger[depth - 1]! - 1) * STAGGER;
    radii[depth] = Math.max(inner + RING, many > 0 ? Math.min(crowd, (many * SPOT) / (Math.PI * stagger[depth]!) + inner) : 0);
  }

  // Before a far ring the nearer ones make room, so that branches part early.
  const far = radii[last]!;
  if (far > last * RING * 1.5) {
    for (let depth = 1; depth < last; depth++) radii[depth] = Math.max(radii[depth]!, (far * depth * 0.86) / last);
  }

  let leaf = 0;
  const put = (node: T): number => {
    const depth = depths.get(node)!;
    const below = childrenOf(node);
    const turns = below.map(put);
    const turn = turns.length > 0 ? (turns[0]! + turns[turns.length - 1]!) / 2 : leaf++ / Math.max(total, 1);
    const lane = below.length === 0 ? (leaf - 1) % stagger[depth]! : 0;
    const radius = radii[depth]! + lane * STAGGER;
    const angle = turn * 2 * Math.PI - Math.PI / 2;
    places.set(node, { x: Math.cos(angle) * radius, y: Math.sin(angle) * radius, angle });
    return turn;
  };
  put(root);
  places.set(root, { x: 0, y: 0, angle: 0 });
  return { kind: "rings", places, bounds: boundsOf(places.values(), 90, 50) };
}

function boundsOf(places: Iterable<Place>, x: number, y: number): Bounds {
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (const place of places) {
    left = Math.min(left, place.x);
    right = Math.max(right, place.x);
    top = Math.min(top, place.y);
    bottom = Math.max(bottom, place.y);
  }
  return { left: left - x, top: top - y, right: right + x, bottom: bottom + y };
}
