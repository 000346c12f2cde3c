/** @import { Kind } from "./mix.js" */

/** @typedef {{ kind: Kind, status: number, body: string, cacheStatus: string | undefined }} Outcome */

/**
 * What every answer has to hold. An empty list is wrong: the mix asks for entities that are there.
 * @type {Record<string, (outcome: Outcome) => boolean>}
 */
export const CHECKS = {
  "status is 200": ({ status }) => status === 200,
  "answers with what was asked for": ({ kind, body }) => body.startsWith(kind === "id" ? '{"' : '[{"'),
  "says where the answer came from": ({ cacheStatus }) => cacheStatus !== undefined,
};

/**
 * Whether an answer counts as an error of the application.
 * @param {Outcome} outcome
 */
export function isError(outcome) {
  return !Object.values(CHECKS).every((check) => check(outcome));
}
