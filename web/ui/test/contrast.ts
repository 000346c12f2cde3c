/** Contrast as WCAG 2.1 computes it, and the colours of the style sheets. */

import { readdirSync, readFileSync } from "node:fs";

export type Rgb = readonly [number, number, number];
export type Tokens = ReadonlyMap<string, string>;

export const STYLES: Readonly<Record<string, string>> = Object.fromEntries(
  readdirSync("src/styles").map((name) => [name, readFileSync(`src/styles/${name}`, "utf8").replace(/\/\*[\s\S]*?\*\//g, "")]),
);

export function rgb(hex: string): Rgb {
  const digits = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(hex);
  if (!digits) throw new Error(`${hex} is no colour of six digits.`);
  return [1, 2, 3].map((index) => parseInt(digits[index]!, 16)) as unknown as Rgb;
}

/** `part` of a colour over another one, as opacity and color-mix with transparent give it. */
export const over = (above: Rgb, part: number, below: Rgb): Rgb =>
  above.map((value, index) => value * part + below[index]! * (1 - part)) as unknown as Rgb;

function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

export function ratio(a: Rgb, b: Rgb): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((one, other) => one - other);
  return (light! + 0.05) / (dark! + 0.05);
}

/** The custom properties of one rule. */
export function tokensOf(selector: string): Tokens {
  const css = STYLES["tokens.css"]!;
  const start = css.indexOf(`${selector} {`);
  if (start < 0) throw new Error(`tokens.css has no rule ${selector}.`);
  const body = css.slice(css.indexOf("{", start) + 1, css.indexOf("}", start));
  return new Map([...body.matchAll(/--([\w-]+):\s*([^;]+);/g)].map((found) => [found[1]!, found[2]!.trim()]));
}
