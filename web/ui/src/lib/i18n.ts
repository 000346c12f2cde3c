/** The page's words in English and Portuguese. `{name}` is filled in. */

import { en } from "./words.en";
import { pt } from "./words.pt";

export type Language = "en" | "pt";
export type Word = keyof typeof en;

export const WORDS: Readonly<Record<Language, Readonly<Record<Word, string>>>> = { en, pt };

export function preferred(languages: readonly string[]): Language {
  for (const language of languages) {
    const short = language.toLowerCase().split("-")[0];
    if (short === "pt" || short === "en") return short;
  }
  return "en";
}

export function say(language: Language, word: Word, values: Readonly<Record<string, string | number>> = {}): string {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}
