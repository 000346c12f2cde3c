import { describe, expect, it } from "vitest";
import { CARD, columns, rings, type Layout } from "../src/lib/layout";

interface Node {
  readonly children: Node[];
}

const childrenOf = (node: Node): Node[] => node.children;
const leaf = (): Node => ({ children: [] });
const wide = (branches: number, leaves: number): Node => ({
  children: Array.from({ length: branches }, () => ({ children: Array.from({ length: leaves }, leaf) })),
});

function nearest(layout: Layout<Node>): number {
  const places = [...layout.places.values()];
  let best = Infinity;
  for (let a = 0; a < places.length; a++) {
    for (let b = a + 1; b < places.length; b++) {
      best = Math.min(best, Math.hypot(places[a]!.x - places[b]!.x, places[a]!.y - places[b]!.y));
    }
  }
  return best;
}

describe("columns", () => {
  it("leaves no two cards on one another", () => {
    const layout = columns(wide(7, 5), childrenOf);
    const places = [...layout.places.values()];
    for (const [index, a] of places.entries()) {
      for (const b of places.slice(index + 1)) {
        expect(Math.abs(a.x - b.x) >= CARD.width || Math.abs(a.y - b.y) >= CARD.height).toBe(true);
      }
    }
  });

  it("puts a parent in the middle of its children", () => {
    const root = wide(3, 1);
    const { places } = columns(root, childrenOf);
    expect(places.get(root)!.y).toBe(places.get(root.children[1]!)!.y);
  });
});

describe("rings", () => {
  it.each([[1, 1], [3, 4], [40, 48], [1, 900]])("keeps the spots of %i branches with %i leaves apart", (branches, leaves) => {
    expect(nearest(rings(wide(branches, leaves), childrenOf))).toBeGreaterThan(20);
  });

  it("has the root in the middle and all within the bounds", () => {
    const root = wide(5, 5);
    const { places, bounds } = rings(root, childrenOf);
    expect(places.get(root)).toMatchObject({ x: 0, y: 0 });
    for (const { x, y } of places.values()) {
      expect(x > bounds.left && x < bounds.right && y > bounds.top && y < bounds.bottom).toBe(true);
    }
  });

  it("places a single node", () => {
    expect(rings(leaf(), childrenOf).places.size).toBe(1);
  });
});
