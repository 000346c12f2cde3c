/** JSON that keeps each number's digits: 2450.00 stays 2450.00, and no large integer loses its end. */

export class JsonNumber {
  constructor(readonly text: string) {}

  get value(): number {
    return Number(this.text);
  }
}

export type JsonObject = Map<string, Json>;
export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const BLANK = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;

/** Throws SyntaxError where the text is not JSON. Of a name that occurs twice the last one counts. */
export function parseJson(text: string): Json {
  let at = 0;

  const fail = (): never => {
    throw new SyntaxError(`Not JSON at ${at}`);
  };
  const skip = (): void => {
    BLANK.lastIndex = at;
    BLANK.test(text);
    at = BLANK.lastIndex;
  };
  const word = <T>(expected: string, value: T): T => {
    if (!text.startsWith(expected, at)) fail();
    at += expected.length;
    return value;
  };
  const string = (): string => {
    const start = at++;
    for (;;) {
      PLAIN.lastIndex = at;
      PLAIN.test(text);
      at = PLAIN.lastIndex;
      if (text[at] === '"') break;
      if (text[at] !== "\\") fail();
      at += 2;
    }
    at++;
    return JSON.parse(text.slice(start, at)) as string;
  };
  const value = (): Json => {
    skip();
    switch (text[at]) {
      case "{": {
        const found: JsonObject = new Map();
        at++;
        skip();
        if (text[at] === "}") return at++, found;
        for (;;) {
          skip();
          if (text[at] !== '"') fail();
          const name = string();
          skip();
          word(":", null);
          found.set(name, value());
          skip();
          if (text[at] === ",") at++;
          else return word("}", found);
        }
      }
      case "[": {
        const found: Json[] = [];
        at++;
        skip();
        if (text[at] === "]") return at++, found;
        for (;;) {
          found.push(value());
          skip();
          if (text[at] === ",") at++;
          else return word("]", found);
        }
      }
      case '"':
        return string();
      case "t":
        return word("true", true);
      case "f":
        return word("false", false);
      case "n":
        return word("null", null);
      default: {
        NUMBER.lastIndex = at;
        const match = NUMBER.exec(text) ?? fail();
        at = NUMBER.lastIndex;
        return new JsonNumber(match[0]);
      }
    }
  };

  const result = value();
  skip();
  if (at !== text.length) fail();
  return result;
}

/** The text of a value: with an indent on several lines, without one on one. */
export function formatJson(value: Json, indent = 0, level = 0): string {
  const broken = indent > 0;
  const line = broken ? "\n" + " ".repeat(indent * (level + 1)) : "";
  const end = broken ? "\n" + " ".repeat(indent * level) : "";
  const comma = broken ? "," : ", ";
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[${value.map((item) => line + formatJson(item, indent, level + 1)).join(comma)}${end}]`;
  }
  if (value instanceof Map) {
    if (value.size === 0) return "{}";
    const members = [...value].map(
      ([name, item]) => `${line}${JSON.stringify(name)}: ${formatJson(item, indent, level + 1)}`,
    );
    return `{${members.join(comma)}${end}}`;
  }
  return JSON.stringify(value);
}

export const isObject = (value: Json | undefined): value is JsonObject => value instanceof Map;

/** A member that is a string; else "". */
export const textOf = (object: JsonObject, name: string): string => {
  const found = object.get(name);
  return typeof found === "string" ? found : found instanceof JsonNumber ? found.text : "";
};
