// The identity under which a partition recognises a producer's batches.

/** 53 random bits, never 0: 0 asks for no deduplication. */
export function newProducerId(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0xfffff) * 4_294_967_296 + low || 1;
}
