import { describe, expect, it } from "vitest";
import { formatJson, JsonNumber, parseJson } from "../src/lib/json";

describe("parseJson", () => {
  it.each(["2450.00", "9007199254740993", "1e400", "-0", "0.1", "123456789012345678901234567890"])("keeps the digits of %s", (text) => {
    expect(formatJson(parseJson(`[${text}]`))).toBe(`[${text}]`);
  });

  it("keeps the order of names that look like numbers", () => {
    expect(formatJson(parseJson('{"10": 1, "9": 2, "__proto__": 3}'))).toBe('{"10": 1, "9": 2, "__proto__": 3}');
  });

  it("reads what JSON.parse reads", () => {
    const text = ' { "a" : [ true , false , null , "\\u00e9\\n\\"x\\\\" , { } , [ ] ] } ';
    expect(JSON.parse(formatJson(parseJson(text), 2))).toEqual(JSON.parse(text));
  });

  it.each(["", "[1,]", "{\"a\" 1}", "01", "1 2", "[1", '"a', "nul", "{a:1}", '"\n"', "+1", ".5", '"\\x"', "NaN"])("refuses %j", (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  it("gives numbers their value", () => {
    expect((parseJson("1.5e2") as JsonNumber).value).toBe(150);
  });
});
