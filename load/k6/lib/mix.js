/** @import { Entity } from "./entities.js" */
/** @import { Random } from "./random.js" */
import { randomPeriod } from "./dates.js";
import { between } from "./random.js";

/** @typedef {"id" | "email" | "document"} Kind by what an entity is asked for */
/** @typedef {{ kind: Kind, path: string }} GraphRequest */
/** @typedef {{ emailPath: string, months: number, maxDepth: number, now: Date }} MixOptions */

/** The share of each kind of request, in percent. */
export const WEIGHTS = /** @type {const} */ ({ id: 60, email: 30, document: 10 });

export const DEFAULTS = { emailPath: "email.address", months: 6, maxDepth: 10 };

/**
 * @param {Random} random
 * @returns {Kind}
 */
export function chooseKind(random) {
  const point = random() * 100;
  if (point < WEIGHTS.id) return "id";
  return point < WEIGHTS.id + WEIGHTS.email ? "email" : "document";
}

/**
 * One request of the mix: an entity, a kind, a depth and a period, each drawn by itself.
 * @param {readonly Entity[] | { length: number, [index: number]: Entity }} entities
 * @param {Random} random
 * @param {MixOptions} options
 * @returns {GraphRequest}
 */
export function nextRequest(entities, random, options) {
  const entity = entities[Math.floor(random() * entities.length)];
  const kind = chooseKind(random);
  const depth = between(random, 1, options.maxDepth);
  const period = randomPeriod(random, options.now, options.months);
  return { kind, path: `${resource(entity, kind, options.emailPath)}?depth=${depth}&period=${period}` };
}

/**
 * @param {Entity} entity
 * @param {Kind} kind
 * @param {string} emailPath
 */
function resource(entity, kind, emailPath) {
  switch (kind) {
    case "id":
      return `/v1/graph/${encodeURIComponent(entity.id)}`;
    case "email":
      return byProperty(emailPath, entity.email);
    case "document":
      return byProperty("document.number", entity.cpf);
  }
}

/**
 * @param {string} path
 * @param {string} value
 */
function byProperty(path, value) {
  return `/v1/graph/by-property/${encodeURIComponent(path)}/value/${encodeURIComponent(value)}`;
}
