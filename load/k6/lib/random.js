/** @typedef {() => number} Random a number from 0 (inclusive) to 1 (exclusive), as Math.random gives. */

/**
 * A seeded generator (mulberry32), so that a run can be repeated.
 * @param {number} seed
 * @returns {Random}
 */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A whole number from `low` to `high`, both inclusive, all equally likely.
 * @param {Random} random
 * @param {number} low
 * @param {number} high
 */
export function between(random, low, high) {
  return low + Math.floor(random() * (high - low + 1));
}
