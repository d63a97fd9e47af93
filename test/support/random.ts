// Seeded random numbers (mulberry32): the same seed gives the same numbers, so a seed names a run.

/** Numbers from 0 to below 1. */
export function fractionsFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Whole numbers from 0 to below the one that is asked with. */
export function randomFrom(seed: number): (below: number) => number {
  const fraction = fractionsFrom(seed);
  return (below) => Math.floor(fraction() * below);
}
