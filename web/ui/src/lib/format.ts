/** Numbers and dates for people. */

import type { Language } from "./i18n";

const TAG: Record<Language, string> = { en: "en-GB", pt: "pt-BR" };

export function number(language: Language, value: number, digits = 0): string {
  return new Intl.NumberFormat(TAG[language], { maximumFractionDigits: digits }).format(value);
}

export function compact(language: Language, value: number): string {
  return new Intl.NumberFormat(TAG[language], { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** The first unit in which it is at least one. */
export function bytes(language: Language, value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${number(language, value, value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

export function seconds(language: Language, value: number): string {
  return value < 1 ? `${number(language, value * 1000, value < 0.01 ? 1 : 0)} ms` : `${number(language, value, 1)} s`;
}

/** In UTC, as the service thinks: the end of a day is not another day elsewhere. */
export function dateTime(language: Language, text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  return new Intl.DateTimeFormat(TAG[language], { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }).format(date);
}

export function clockTime(language: Language, text: string | Date): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text);
  return new Intl.DateTimeFormat(TAG[language], { timeStyle: "medium", timeZone: "UTC" }).format(date);
}

/** As fine as the granularity. */
export function period(language: Language, text: string, granularity: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  if (granularity === "quarter") return `Q${Math.floor(date.getUTCMonth() / 3) + 1} ${date.getUTCFullYear()}`;
  const options: Intl.DateTimeFormatOptions =
    granularity === "year"
      ? { year: "numeric" }
      : granularity === "month"
        ? { month: "short", year: "numeric" }
        : granularity === "instant"
          ? { dateStyle: "medium", timeStyle: "medium" }
          : { dateStyle: "medium" };
  return new Intl.DateTimeFormat(TAG[language], { ...options, timeZone: "UTC" }).format(date);
}
