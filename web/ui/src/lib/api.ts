/** Reads of the service, and its errors as sentences. */

import { isObject, parseJson, textOf, type Json } from "./json";

const KEY = "profile-api-key";

/** Kept in this tab alone, and gone with it. */
export const apiKey = {
  get: (): string => sessionStorage.getItem(KEY) ?? "",
  set: (key: string): void => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

/**
 * Takes the key out of a fragment such as `#key=upk_…`, as `python -m app keys link` prints it: the fragment to go on
 * with, or null where there was no key. A browser sends no fragment to a server.
 */
export function takeKey(hash: string): string | null {
  const found = /^#key=(upk_[0-9a-f_]+)$/.exec(hash);
  if (!found) return null;
  apiKey.set(found[1]!);
  return "#/explore";
}

/** What went wrong: the problem's own words, and whether the page has better ones. */
export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: no answer
    readonly title: string,
    readonly detail: string,
    readonly requestId: string,
  ) {
    super(detail || title);
  }
}

export interface Answer {
  readonly json: Json;
  readonly text: string;
  readonly headers: Headers;
}

export function headersOf(key: string): Record<string, string> {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Throws ApiError. `alsoOk` are statuses whose body is an answer too. */
export async function request(
  path: string,
  options: { method?: string; signal?: AbortSignal; alsoOk?: readonly number[]; text?: boolean } = {},
): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method: options.method ?? "GET",
      headers: headersOf(apiKey.get()),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "", "", "");
  }
  if (!response.ok && !options.alsoOk?.includes(response.status)) throw problemOf(response.status, text);
  try {
    return { json: options.text ? null : parseJson(text), text, headers: response.headers };
  } catch {
    throw new ApiError(response.status, "", "", response.headers.get("X-Request-Id") ?? "");
  }
}

/** Reads problem+json (RFC 9457); what is none gives empty words. */
export function problemOf(status: number, text: string): ApiError {
  let body: Json = null;
  try {
    body = parseJson(text);
  } catch {
    // a proxy's page, perhaps
  }
  if (!isObject(body)) return new ApiError(status, "", "", "");
  return new ApiError(status, textOf(body, "title"), textOf(body, "detail"), textOf(body, "request_id"));
}

/** The address of the next page, from RFC 8288's Link. */
export function nextLink(headers: Headers): string | null {
  const match = /<([^>]+)>\s*;\s*rel="?next"?/.exec(headers.get("Link") ?? "");
  return match ? match[1]! : null;
}
