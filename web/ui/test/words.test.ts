import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { preferred, say, WORDS, type Word } from "../src/lib/i18n";

const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();
const words = Object.keys(WORDS.en) as Word[];

describe("the words", () => {
  it("are there in both languages, with the same holes", () => {
    expect(Object.keys(WORDS.pt).sort()).toEqual([...words].sort());
    for (const word of words) {
      expect(WORDS.pt[word].trim(), word).not.toBe("");
      expect(holes(WORDS.pt[word]), word).toEqual(holes(WORDS.en[word]));
    }
  });

  it("are all used", () => {
    const source = readdirSync("src", { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name) && !name.includes("words."))
      .map((name) => readFileSync(`src/${name}`, "utf8"))
      .join();
    const spare = words.filter((word) => !new RegExp(`"${word}"`).test(source));
    const byName = ["instant", "day", "week", "month", "quarter", "year"]; // a granularity is its own word
    expect(spare.filter((word) => !byName.includes(word))).toEqual([]);
  });
});

it("follows the browser's languages", () => {
  expect(preferred(["de", "pt-BR", "en"])).toBe("pt");
  expect(preferred(["EN-us", "pt"])).toBe("en");
  expect(preferred(["de"])).toBe("en");
});

it("fills holes, and no others", () => {
  expect(say("en", "resultOf", { index: 1, count: 3 })).toBe("1 of 3");
  expect(say("pt", "resultOf", { index: 1 })).toBe("1 de {count}");
});
