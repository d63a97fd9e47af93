// Pull with a long poll, on top of a consumer: reads one partition once, waiting for the first message if asked to.
import { RingmqError } from '../base/codes.ts';
import type { ConsumerOptions, Gap, PullRequest, PullResult } from './connection.ts';
import type { RingConsumer } from './consumer.ts';
import type { Message } from './message.ts';

const MAX = 32;
const WAIT_MS = 15_000;

/** What the log has, it says within this time: a pull that does not wait still waits for that. */
const LOG_MS = 5_000;
const LOG_POLL_MS = 1;

export interface PullHost {
  open(topic: string, options: ConsumerOptions<Uint8Array>): RingConsumer<Uint8Array>;
  /** Hands on what is there already. */
  takeNow(): void;
  /** True while the log is read for the consumer: there is something that has not come yet. */
  readsLog(consumer: RingConsumer<Uint8Array>): boolean;
}

/** Opens a consumer, takes what comes first, closes it. */
export async function pullOnce(host: PullHost, request: PullRequest): Promise<PullResult> {
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
  const consumer = host.open(topic, {
    from: start,
    partitions: [partition],
    ...(request.filter === undefined ? {} : { filter: request.filter }),
    onGap: (gap) => gaps.push(gap),
    onMessage: (message) => {
      messages.push(message);
      if (messages.length >= max) consumer.pause();
      // What else is there already comes in the same turn.
      setTimeout(done, 0);
    },
  });
  let failure: RingmqError | undefined;
  consumer.onOver = (error) => {
    failure = error ?? new RingmqError('closed', 'the connection was closed while the pull waited');
    done();
  };
  let timer: NodeJS.Timeout | number | undefined;
  request.signal?.addEventListener('abort', done, { once: true });
  try {
    await consumer.ready();
    const begun = performance.now();
    // Not before: a pull that does not wait still takes what is there.
    const late = (): void => {
      host.takeNow();
      const comes = messages.length === 0 && host.readsLog(consumer) && performance.now() - begun < waitMs + LOG_MS;
      if (comes) timer = setTimeout(late, LOG_POLL_MS);
      else done();
    };
    host.takeNow();
    timer = setTimeout(late, waitMs);
    if (request.signal?.aborted) done();
    await filled;
    const last = messages.at(-1);
    if (failure && !last) throw failure;
    // A consumer that is over has no position any more.
    const behind = last && { epoch: last.epoch, offset: last.offset + 1 };
    const { epoch, offset } = consumer.positions().at(0) ?? behind ?? { epoch: 0, offset: 0 };
    return { messages, epoch, nextOffset: offset, gap: gaps.length > 0 };
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', done);
    await consumer.close();
  }
}
