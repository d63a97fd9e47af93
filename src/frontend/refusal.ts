// What a rejected promise means for whoever asked.
import { RingmqError } from '../base/codes.ts';

/** The refusal; anything else is a fault of ours, which ends the thread: thrown on. */
export function refusalOf(error: unknown): RingmqError {
  if (error instanceof RingmqError) return error;
  throw error;
}
