// Versions and the arithmetic that every layout file shares. This folder imports nothing outside itself.

/** Generation of everything in this folder. A change of any byte means a new number and an upgrade test. */
export const LAYOUT_VERSION = 5;

/**
 * Two cache lines: words of different writers stand this far apart, so that adjacent-line prefetch does not join
 * them.
 */
export const LINE_BYTES = 128;

/** Everything that is copied starts and ends on this boundary: shared memory is copied eight bytes at a time. */
export const ALIGN_BYTES = 8;

/** The next multiple of eight. */
export function align8(lengthBytes: number): number {
  return (lengthBytes + 7) & ~7;
}

/** Load-time assertion: a layout that contradicts itself must not start. */
export function layoutAssert(condition: boolean, what: string): void {
  if (!condition) throw new Error(`native-layout: ${what}`);
}
