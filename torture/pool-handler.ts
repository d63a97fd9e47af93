// Handler of the torture's pool member, in threads of their own: follows the plan, and tells the books what it does.
import { BroadcastChannel, threadId } from 'node:worker_threads';
import type { PooledMessage } from '../src/client/messaging.ts';
import { DeadLetter, RetryLater } from '../src/client/messaging.ts';
import { fromUtf8 } from '../src/record/text.ts';
import { HANDLER_MAX_MS, LATER_MS, PlannedFailure, planOf } from './handling-plan.ts';
import { pause } from './topic-reader.ts';

/** What a handler says of a message, in the order of what happens in all threads of a process. */
export interface Step {
  readonly what: 'starts' | 'ends';
  /** Of the pool. */
  readonly life: number;
  readonly thread: number;
  readonly id: string;
  readonly place: string;
  readonly attempts: number;
}

/** See PoolBook.begin(). */
const { searchParams } = new URL(import.meta.url);
const channel = new BroadcastChannel(searchParams.get('channel') ?? '');
const life = Number(searchParams.get('life'));

async function work({ body, partition, offset, attempts }: PooledMessage): Promise<void> {
  const id = fromUtf8(body);
  const tell = (what: Step['what']): void => {
    const step: Step = { what, life, thread: threadId, id, place: `${partition}@${offset}`, attempts };
    channel.postMessage(step);
  };
  tell('starts');
  const plan = planOf(id, attempts);
  await pause(Math.random() * HANDLER_MAX_MS);
  if (plan === 'dead') throw new DeadLetter('a dead letter by plan');
  if (plan === 'fail' && attempts === 2) throw new RetryLater(LATER_MS);
  if (plan === 'fail') throw new PlannedFailure('it fails by plan');
  tell('ends');
}

export { work as default };
