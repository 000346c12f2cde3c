/** @import { Random } from "./random.js" */

/**
 * The start of a day `months` calendar months before `now`, in UTC; the last day of a shorter month.
 * @param {Date} now
 * @param {number} months
 */
export function monthsBefore(now, months) {
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth() - months;
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return new Date(Date.UTC(year, month, Math.min(now.getUTCDate(), lastDay)));
}

/**
 * A date for `period`: any second of the last `months` months, as RFC 3339 in UTC. A whole answer is so
 * hardly ever asked for twice; only what answers are made of can be cached.
 * @param {Random} random
 * @param {Date} now
 * @param {number} months
 */
export function randomPeriod(random, now, months) {
  const start = monthsBefore(now, months).getTime();
  const moment = start + Math.floor(random() * (now.getTime() - start));
  return `${new Date(moment).toISOString().slice(0, 19)}Z`;
}
