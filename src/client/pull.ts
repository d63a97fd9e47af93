// Pull with a long poll, on top of a consumer: reads one partition once, waiting for the first message if asked to.
import { RingmqError } from '../base/codes.ts';
import type { Consumer, ConsumerOptions, Gap, PullRequest, PullResult } from './connection.ts';
import type { Message } from './message.ts';

const MAX = 32;
const WAIT_MS = 15_000;

/** Opens a consumer, takes what comes first, closes it. `takeNow` hands on what is there already, where it can. */
export async function pullOnce(
  open: (topic: string, options: ConsumerOptions<Uint8Array>) => Consumer<Uint8Array>,
  request: PullRequest,
  takeNow: () => void = () => {},
): Promise<PullResult> {
  const { topic, partition = 0, from = 'latest', max = MAX, waitMs = WAIT_MS } = request;
  if (!(max >= 1 && waitMs >= 0)) throw new RingmqError('illegal-argument', `pull: max ${max} and waitMs ${waitMs}`);
  const gaps: Gap[] = [];
  const start =
    typeof from === 'object' && request.epoch !== undefined
      ? { positions: [{ partition, epoch: request.epoch, offset: from.offset }] }
      : from;
  const messages: Message[] = [];
  let done: () => void = () => {};
  const filled = new Promise<void>((resolve) => {
    done = resolve;
  });
  const consumer = open(topic, {
    from: start,
    partitions: [partition],
    onGap: (gap) => gaps.push(gap),
    onMessage: (message) => {
      messages.push(message);
      if (messages.length >= max) consumer.pause();
      // What else is there already comes in the same turn.
      setTimeout(done, 0);
    },
  });
  let timer: NodeJS.Timeout | number | undefined;
  request.signal?.addEventListener('abort', done, { once: true });
  try {
    const [position] = await consumer.ready();
    takeNow();
    // Not before: a pull that does not wait still takes what is there.
    timer = setTimeout(done, waitMs);
    if (request.signal?.aborted) done();
    await filled;
    const last = messages.at(-1);
    return {
      messages,
      epoch: last?.epoch ?? position?.epoch ?? 0,
      nextOffset: last ? last.offset + 1 : (position?.offset ?? 0),
      gap: gaps.length > 0,
    };
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', done);
    await consumer.close();
  }
}
