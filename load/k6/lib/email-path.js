/** @import { Entity } from "./entities.js" */

/** The properties that may hold an address: a source of one's own writes an object, the Flink jobs write plain text. */
export const EMAIL_PATHS = ["email.address", "email"];

/**
 * The property by which the service finds the e-mail of the first entity.
 * @param {readonly Entity[] | { length: number, [index: number]: Entity }} entities
 * @param {(path: string) => string} ask gets a path's body
 * @returns {string}
 */
export function findEmailPath(entities, ask) {
  const email = encodeURIComponent(entities[0].email);
  const found = EMAIL_PATHS.find((path) => ask(`/v1/graph/by-property/${path}/value/${email}?depth=1`).startsWith("[{"));
  if (found === undefined) {
    throw new Error("the service finds no entity by the first e-mail of the CSV: is it the file of another database?");
  }
  return found;
}
