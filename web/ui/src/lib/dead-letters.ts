/** Dead letters as `GET /v1/dead-letters` tells them. */

import { isObject, textOf, type Json, type JsonObject } from "./json";

export interface DeadLetter {
  readonly topic: string;
  readonly partition: string;
  readonly offset: string;
  readonly time: string;
  readonly key: string;
  readonly error: string;
  readonly reason: string;
}

export const idOf = (letter: DeadLetter): string => `${letter.topic}/${letter.partition}/${letter.offset}`;

export const replayPath = (letter: DeadLetter): string =>
  `/v1/dead-letters/${[letter.topic, letter.partition, letter.offset].map(encodeURIComponent).join("/")}/replay`;

/** A list, or an object with one. What has no place in a topic is left out: it could not be replayed. */
export function readDeadLetters(json: Json): DeadLetter[] {
  const list = isObject(json) ? [...json.values()].find((member) => Array.isArray(member)) : json;
  if (!Array.isArray(list)) return [];
  return list.filter(isObject).map(read).filter((letter) => letter.topic && letter.partition && letter.offset);
}

function read(item: JsonObject): DeadLetter {
  const first = (...names: string[]): string => names.map((name) => textOf(item, name)).find((text) => text) ?? "";
  const [topic, partition, offset] = splitId(textOf(item, "id"));
  return {
    topic: first("topic") || topic,
    partition: first("partition") || partition,
    offset: first("offset") || offset,
    time: first("timestamp", "time", "date"),
    key: first("key"),
    error: first("error", "code"),
    reason: first("reason", "detail"),
  };
}

function splitId(id: string): [string, string, string] {
  const match = /^(.+)\/(\d+)\/(\d+)$/.exec(id);
  return match ? [match[1]!, match[2]!, match[3]!] : ["", "", ""];
}
