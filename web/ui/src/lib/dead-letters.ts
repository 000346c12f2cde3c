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

/** What has no place in a topic is left out: it could not be replayed. */
export function readDeadLetters(json: Json): DeadLetter[] {
  if (!Array.isArray(json)) return [];
  return json.filter(isObject).map(read).filter((letter) => letter.topic && letter.partition && letter.offset);
}

function read(item: JsonObject): DeadLetter {
  const key = item.get("key");
  return {
    topic: textOf(item, "topic"),
    partition: textOf(item, "partition"),
    offset: textOf(item, "offset"),
    time: textOf(item, "timestamp"),
    key: isObject(key) ? textOf(key, "text") || textOf(key, "base64") : "",
    error: textOf(item, "error"),
    reason: textOf(item, "reason"),
  };
}
