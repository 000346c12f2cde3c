import { describe, expect, it } from "vitest";
import { displayName } from "../src/lib/entity";
import { canLoad, isRepeated, leftOut, nameIn, Tree } from "../src/lib/tree";
import { answer, entity, repeated } from "./answers";

const ids = (tree: Tree): string[] => tree.visible().map((node) => node.entity.id);

describe("Tree", () => {
  it("shows what an answer holds, in its order", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2, [["c", answer(4)]])], ["b", answer(3)]])), 3);
    expect(ids(tree)).toEqual(["1", "2", "4", "3"]);
    expect(tree.visible().map((node) => node.relation)).toEqual([null, "a", "c", "b"]);
    expect(tree.visible().map((node) => node.depth)).toEqual([0, 1, 2, 1]);
  });

  it("knows what it can't know: whether the last level has relationships", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2)]])), 1);
    const [root, child] = tree.visible();
    expect(canLoad(tree, root!)).toBe(false);
    expect(canLoad(tree, child!)).toBe(true);
  });

  it("takes an entity without relationships above the last level as one that has none", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2)]])), 2);
    expect(canLoad(tree, tree.visible()[1]!)).toBe(false);
  });

  it("marks repetitions, and leads to where the entity is in full", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2, [["back", repeated(1)]])]])), 3);
    const last = tree.visible()[2]!;
    expect(isRepeated(tree, last)).toBe(true);
    expect(tree.full.get("1")).toBe(tree.root);
    tree.root.entity = entity(answer(1).replace('"properties": {}', '"properties": {"name": {"value": "Ana"}}'));
    expect(nameIn(tree, last)).toBe("Ana");
  });

  it("marks what was cut", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2)]], ', "truncated": {"edges_total": 40}')), 3);
    expect(leftOut(tree.root)).toBe(39);
    expect(canLoad(tree, tree.root)).toBe(true);
  });

  it("merges another read below a node, and marks there what stands elsewhere", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2)], ["b", answer(3)]])), 1);
    const second = tree.visible()[1]!;
    tree.merge(second, entity(answer(2, [["c", answer(3)], ["d", answer(5)]])), 1);
    expect(ids(tree)).toEqual(["1", "2", "3", "5", "3"]);
    expect(isRepeated(tree, tree.visible()[2]!)).toBe(true);
    expect(canLoad(tree, tree.visible()[3]!)).toBe(true);
    expect(canLoad(tree, second)).toBe(false);
  });

  it("keeps keys over another read, so that a selection stays", () => {
    const text = answer(1, [["a", answer(2)], ["a", answer(2)]]);
    const tree = new Tree(entity(text), 2);
    const keys = tree.visible().map((node) => node.key);
    expect(new Set(keys).size).toBe(3);
    tree.merge(tree.root, entity(text), 2);
    expect(tree.visible().map((node) => node.key)).toEqual(keys);
    expect(tree.full.size).toBe(2);
  });

  it("hides what is below a collapsed node, and reveals it", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2, [["b", answer(3)]])]])), 3);
    const deepest = tree.visible()[2]!;
    tree.toggle(tree.root);
    expect(ids(tree)).toEqual(["1"]);
    tree.reveal(deepest);
    expect(ids(tree)).toEqual(["1", "2", "3"]);
  });

  it("keeps ids of 64 bits", () => {
    expect(entity(answer(1).replace('"id": 1', '"id": 9223372036854775807')).id).toBe("9223372036854775807");
  });
});

it("calls an entity by a name, else by its reference", () => {
  const named = answer(1).replace('"properties": {}', '"properties": {"email": {"value": "a@b.c"}, "name": {"value": "Ana"}}');
  expect(displayName(entity(named))).toBe("Ana");
  expect(displayName(entity(answer(1)))).toBe("u-1");
});
