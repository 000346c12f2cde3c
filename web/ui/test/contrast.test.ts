import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { over, ratio, rgb, STYLES, tokensOf, type Rgb, type Tokens } from "./contrast";

const light = tokensOf(":root");
const dark = new Map([...light, ...tokensOf(':root[data-theme="dark"]')]);
const THEMES: readonly (readonly [string, Tokens])[] = [["light", light], ["dark", dark]];
const KINDS = Array.from({ length: 8 }, (_, index) => `kind-${index}`);

/** Text, and what it stands on: 4.5:1. Cards, tables and the canvas included. */
const TEXT: Readonly<Record<string, readonly string[]>> = {
  ink: ["ground", "surface", "raised"],
  muted: ["ground", "surface", "raised"],
  accent: ["ground", "surface", "accent-soft"],
  "accent-ink": ["accent"],
  good: ["ground", "surface", "good-soft"],
  warn: ["ground", "surface", "warn-soft"],
  bad: ["ground", "surface", "bad-soft"],
  "kind-5": ["ground"], // names in JSON
  surface: ["ink", "accent", "warn"], // what is loading; the counts and signs in the picture's buttons
};

/** Lines, marks and borders that tell something: 3:1. */
const GRAPHICS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(KINDS.map((kind) => [kind, ["ground", "surface"]])), // the picture's two grounds, lists and charts
  accent: ["ground", "surface", "raised", "accent-soft"], // focus, the open tab, the path to the selection, lag, tiles
  edge: ["ground", "surface"], // fields, the picture's links and cards
  muted: ["ground", "surface"], // hovered and repeated nodes, the dot of a feed that rests
  good: ["surface", "accent-soft", "good-soft"],
  warn: ["ground", "surface", "accent-soft", "warn-soft"],
  bad: ["ground", "surface", "accent-soft", "bad-soft"],
};

/** Decoration: what it separates is told by text or by space, too. */
const DECORATION = ["line", "line-strong", "flash", "tone"];

const pairs = (table: Readonly<Record<string, readonly string[]>>): [string, string][] =>
  Object.entries(table).flatMap(([front, grounds]) => grounds.map((ground) => [front, ground] as [string, string]));

describe.each(THEMES)("in the %s theme", (_name, tokens) => {
  const colour = (token: string): Rgb => rgb(tokens.get(token)!);

  it.each(pairs(TEXT))("text of %s can be read on %s", (front, ground) => {
    expect(ratio(colour(front), colour(ground))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(pairs(GRAPHICS))("graphics of %s can be seen on %s", (front, ground) => {
    expect(ratio(colour(front), colour(ground))).toBeGreaterThanOrEqual(3);
  });

  it("keeps what is translucent apart, too", () => {
    const part = (css: RegExp, file: string): number => {
      const found = css.exec(STYLES[file]!);
      expect(found, String(css)).not.toBeNull();
      return Number(found![1]);
    };
    const bar = part(/\.chart-bar \{[^}]*opacity: ([\d.]+)/, "details.css");
    for (const kind of ["kind-0", "kind-1", "kind-2"]) {
      expect(ratio(over(colour(kind), bar, colour("surface")), colour("surface"))).toBeGreaterThanOrEqual(3);
    }
    const arrival = part(/@keyframes arrive \{ from \{ background: color-mix\(in srgb, var\(--flash\) (\d+)%/, "boards.css") / 100;
    const row = over(colour("flash"), arrival, colour("surface"));
    expect(ratio(colour("ink"), row)).toBeGreaterThanOrEqual(4.5);
    const legend = part(/\.legend \{[^}]*color-mix\(in srgb, var\(--surface\) (\d+)%/, "explore.css") / 100;
    for (const below of ["ground", "accent", ...KINDS]) {
      expect(ratio(colour("ink"), over(colour("surface"), legend, colour(below)))).toBeGreaterThanOrEqual(4.5);
      expect(ratio(colour("muted"), over(colour("surface"), legend, colour(below)))).toBeGreaterThanOrEqual(4.5);
    }
  });
});

it("has one dark theme, whether the system or the reader chose it", () => {
  expect([...tokensOf(':root:not([data-theme="light"])')]).toEqual([...tokensOf(':root[data-theme="dark"]')]);
});

describe("the tables above", () => {
  const css = Object.values(STYLES).join("\n");
  const used = (property: string): Set<string> =>
    new Set([...css.matchAll(new RegExp(`(?<![\\w-])${property}:[^;}]*?var\\(--([\\w-]+)\\)`, "g"))].map((found) => found[1]!));

  it("know every colour that text has", () => {
    expect([...used("color")].filter((token) => !(token in TEXT))).toEqual([]);
  });

  it("know every ground, and every text with a ground of its own", () => {
    const grounds = new Set([...Object.values(TEXT), ...Object.values(GRAPHICS)].flat());
    const alone = ["good", "bad", "warn", "muted", "edge"]; // dots, which bear no text
    expect([...used("background")].filter((token) => !grounds.has(token) && ![...alone, ...DECORATION].includes(token))).toEqual([]);
    for (const [, body] of css.matchAll(/\{([^{}]*)\}/g)) {
      const front = /(?<![\w-])color: var\(--([\w-]+)\)/.exec(body!)?.[1];
      const ground = /(?<![\w-])background: var\(--([\w-]+)\)/.exec(body!)?.[1];
      if (front && ground) expect(TEXT[front], `${front} on ${ground}`).toContain(ground);
    }
  });

  it("know the picture's colours", () => {
    const palette = [...readFileSync("src/picture/palette.ts", "utf8").matchAll(/colour\("([\w-]+)"\)/g)].map((found) => found[1]!);
    expect(palette.length).toBeGreaterThan(5);
    const known = new Set([...Object.keys(TEXT), ...Object.keys(GRAPHICS), ...Object.values(TEXT).flat(), ...DECORATION]);
    expect(palette.filter((token) => !known.has(token))).toEqual([]);
  });

  it("know every line and mark", () => {
    for (const property of ["fill", "stroke", "border(?:-(?!radius)[\\w-]+)?", "outline", "accent-color"]) {
      const unknown = [...used(property)].filter((token) => !(token in GRAPHICS) && !(token in TEXT) && !DECORATION.includes(token));
      expect(unknown, property).toEqual([]);
    }
  });
});
