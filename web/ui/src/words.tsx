/** The language of the page, for every component. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { preferred, say, type Language, type Word } from "./lib/i18n";

export interface Words {
  readonly language: Language;
  readonly t: (word: Word, values?: Readonly<Record<string, string | number>>) => string;
}

export const wordsOf = (language: Language): Words => ({
  language,
  t: (word, values) => say(language, word, values),
});

export const WordsContext = createContext<Words>(wordsOf("en"));

export const useWords = (): Words => useContext(WordsContext);

const KEY = "profile-language";

export function storedLanguage(): Language {
  const stored = localStorage.getItem(KEY);
  return stored === "en" || stored === "pt" ? stored : preferred(navigator.languages);
}

export function storeLanguage(language: Language): void {
  localStorage.setItem(KEY, language);
}
