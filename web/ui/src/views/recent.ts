/** What was opened in this tab; values may be somebody's e-mail address, so they end with it. */

import type { Search } from "../lib/route";

const KEY = "profile-recent";
const KEPT = 6;

export function recent(): Search[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? (stored as Search[]) : [];
  } catch {
    return [];
  }
}

export function remember(search: Search): void {
  const text = JSON.stringify(search);
  const others = recent().filter((one) => JSON.stringify(one) !== text);
  sessionStorage.setItem(KEY, JSON.stringify([search, ...others].slice(0, KEPT)));
}

export function forget(search: Search): void {
  const text = JSON.stringify(search);
  sessionStorage.setItem(KEY, JSON.stringify(recent().filter((one) => JSON.stringify(one) !== text)));
}

export const forgetAll = (): void => sessionStorage.removeItem(KEY);

export function labelOf(search: Search): string {
  if (search.by === "id") return `id ${search.id}`;
  if (search.by === "reference") return `${search.type}:${search.reference}`;
  return `${search.property} = ${search.value}`;
}
