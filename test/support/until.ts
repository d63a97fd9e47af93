// Waiting for a condition instead of for a time.

/** What is awaited comes in milliseconds; a busy machine may take seconds. */
const WITHIN_MS = 15_000;

/** Resolves when `condition` holds; rejects after the deadline, naming what was awaited. */
export async function until(condition: () => boolean, what: string, withinMs = WITHIN_MS): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Asks again and again until the answer is good, and returns it; rejects after the deadline. */
export async function untilAnswer<T>(
  ask: () => Promise<T>,
  isGood: (answer: T) => boolean,
  what: string,
  withinMs = WITHIN_MS,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (isGood(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
