import { describe, expect, it } from "vitest";
import { ApiError } from "../src/lib/api";
import { displayName } from "../src/lib/entity";
import { meaningOf, reread } from "../src/lib/follow";
import { formatJson, parseJson } from "../src/lib/json";
import { canLoad, isRepeated, nameIn, Tree, walk } from "../src/lib/tree";
import { answer, entity, event, repeated } from "./answers";

const secret = (text: string): string => text.replace('"properties": {}', '"properties": {"email": {"value": "ana@email.com"}}');
const ana = (id: number, children: [string, string][] = []): string => secret(answer(id, children)).replaceAll(`u-${id}`, "ana-ref");

/** All that could be shown of a tree. */
const told = (tree: Tree): string =>
  [...walk(tree.root)]
    .map(({ entity: one }) => `${displayName(one)} ${one.reference} ${[...one.properties.keys()]} ${formatJson(one.raw)} ${one.edges.map((edge) => formatJson(edge.entity.raw))}`)
    .join("\n");

describe("Tree.erase", () => {
  it("leaves nothing of the root but its id and type", () => {
    const tree = new Tree(entity(ana(1, [["a", answer(2)]])), 2);
    expect(told(tree)).toContain("ana@email.com");
    tree.erase("1");
    expect(told(tree)).not.toMatch(/ana|u-2/);
    expect(tree.root.entity).toMatchObject({ id: "1", type: "user", erased: true });
    expect(displayName(tree.root.entity)).toBe("#1");
    expect([...walk(tree.root)]).toHaveLength(1);
    expect(tree.full.size).toBe(0);
  });

  it("takes it out of the answers above it, and marks each place where it stood", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2, [["b", ana(3)]])], ["c", repeated(3).replace("u-3", "ana-ref")]])), 3);
    tree.erase("3");
    expect(told(tree)).not.toContain("ana");
    const marks = [...walk(tree.root)].map((node) => [node.entity.id, node.entity.erased, isRepeated(tree, node), canLoad(tree, node)]);
    expect(marks).toEqual([["1", false, false, false], ["2", false, false, false], ["3", true, false, false], ["3", true, false, false]]);
  });

  it("names who stood in full below it, so that they are read at another place", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2, [["b", answer(4)]])], ["c", answer(3, [["d", repeated(4)]])]])), 3);
    const adopted = tree.erase("2");
    expect(adopted.map((node) => node.entity.id)).toEqual(["4"]);
    expect(tree.full.get("4")).toBe(adopted[0]);
    expect(isRepeated(tree, adopted[0]!)).toBe(false);
    expect(canLoad(tree, adopted[0]!)).toBe(true);
    expect(nameIn(tree, adopted[0]!)).toBe("u-4");
  });

  it("changes nothing where nobody has the id", () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2)]])), 1);
    const before = told(tree);
    expect(tree.erase("99")).toEqual([]);
    expect(told(tree)).toBe(before);
  });
});

describe("meaningOf", () => {
  const tree = (): Tree => new Tree(entity(answer(5, [["a", answer(2)]])), 1);

  it.each(["entity_erased", "entity_deleted", "temporal_data_deleted"])("knows by its id who is gone when %s comes", (type) => {
    expect(meaningOf(event(type, { reference: "entity-5" }), tree())).toEqual({ erased: ["5"], reread: [] });
    expect(meaningOf(event(type, { reference: "entity-50" }), tree())).toEqual({ erased: [], reread: [] });
  });

  it("asks about an end under a name, which may be a rename", () => {
    const known = tree();
    expect(meaningOf(event("entity_deleted", { type: "user", reference: "u-5" }), known)).toEqual({ erased: [], reread: [known.root] });
  });

  it("takes a reference that only looks like an id for a name", () => {
    expect(meaningOf(event("entity_deleted", { type: "user", reference: "entity-5" }), tree())).toEqual({ erased: [], reread: [] });
  });

  it("knows the end of a relationship that is gone, before it is told itself, and asks about the other", () => {
    const known = tree();
    const told = { type: "user", reference: "u-2", target_entity_reference: "entity-5" };
    expect(meaningOf(event("relationship_deleted", told), known)).toEqual({ erased: ["5"], reread: [known.full.get("2")] });
  });
});

describe("reread", () => {
  const refuse = (status: number) => async (): Promise<never> => {
    throw new ApiError(status, "", "", "");
  };

  it("tells of a 404 that the entity is gone, and of nothing else", async () => {
    const tree = new Tree(entity(answer(1)), 1);
    expect(await reread(tree, tree.root, refuse(404))).toBe(true);
    for (const status of [0, 401, 429, 503]) expect(await reread(tree, tree.root, refuse(status))).toBe(false);
  });

  it("keeps what was loaded below where the relationships are the same", async () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2, [["b", answer(3)]])]])), 3);
    expect(await reread(tree, tree.root, async () => parseJson(secret(answer(1, [["a", answer(2)]]))))).toBe(false);
    expect(tree.visible().map((node) => node.entity.id)).toEqual(["1", "2", "3"]);
    expect(displayName(tree.root.entity)).toBe("ana@email.com");
  });

  it("brings nobody back who was erased while the answer was under way", async () => {
    const tree = new Tree(entity(ana(1)), 1);
    const late = reread(tree, tree.root, async () => {
      tree.erase("1");
      return parseJson(ana(1));
    });
    expect(await late).toBe(false);
    expect(told(tree)).not.toContain("ana");
  });

  it("follows an entity that another one took in", async () => {
    const tree = new Tree(entity(answer(1, [["a", answer(2)]])), 2);
    await reread(tree, tree.full.get("2")!, async () => parseJson(answer(7)));
    expect([...tree.full.keys()]).toEqual(["1", "7"]);
    expect(isRepeated(tree, tree.visible()[1]!)).toBe(false);
  });
});
