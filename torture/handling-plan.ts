// What handlers of the torture make of a message: known from its number and attempt alone, in every thread.

/** `fail`: this attempt fails; `dead`: it is made a dead letter at once. */
export type Plan = 'done' | 'fail' | 'dead';

/** Of a group. */
export const SETTINGS = { retryDelaysMs: [20, 60, 150], attemptsMax: 4 } as const;
/** Put off by the handler and not by the group: the second attempt. */
export const LATER_MS = 30;
export const HANDLER_MAX_MS = 8;

/** `id` ends with the number of the message in its topic. */
export function planOf(id: string, attempts: number): Plan {
  const number = Number(id.slice(id.lastIndexOf('-') + 1));
  if (number % 97 === 5) return 'dead';
  return number % 53 === 7 || (number % 7 === 3 && attempts === 1) ? 'fail' : 'done';
}

/** What handlers fail with. Its class does not leave its thread, its name does. */
export class PlannedFailure extends Error {
  override readonly name = 'PlannedFailure';
}
