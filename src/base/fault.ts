// A Fault is our bug or broken bytes: the thread that meets one dies and the supervisor decides. Nobody catches it to
// go on.

/** Thrown when an invariant of the engine does not hold. */
export class Fault extends Error {
  override readonly name = 'Fault';
}

/** Checks an invariant, in production too. In hot code call it with integer comparisons only. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Fault(what);
}
