// Pull with a long poll, as one request of the wire: the broker waits, not the client.
import { RingmqError } from '../base/codes.ts';
import { filterText } from '../filter/filter.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import type { PullRequest, PullResult } from './connection.ts';
import { Message, type TopicIdentity } from './message.ts';
import { DeliveredFrame } from './ws-frame.ts';

const MAX = 32;
const WAIT_MS = 15_000;
const REPLY_MAX_BYTES = 1024 * 1024;
/** For the way there and back, besides the wait. */
const ANSWER_MS = 5_000;

type Ask = (command: Command, options: { timeoutMs: number }) => Promise<Command>;

/** Asks for messages of one partition once. */
export async function pullOverWire(ask: Ask, identity: TopicIdentity, request: PullRequest): Promise<PullResult> {
  const { topic, partition = 0, from = 'latest', max = MAX, waitMs = WAIT_MS, signal } = request;
  if (!(max >= 1 && waitMs >= 0)) throw new RingmqError('illegal-argument', `pull: max ${max} and waitMs ${waitMs}`);
  const filter = filterText(request.filter);
  const deadline = performance.now() + waitMs;
  let place: { from: typeof from; epoch: number } = { from, epoch: request.epoch ?? 0 };
  for (;;) {
    const left = Math.round(Math.max(0, deadline - performance.now()));
    const answer = ask(
      { type: 'pull', topic, partition, ...place, maxBytes: REPLY_MAX_BYTES, waitMs: left, filter },
      { timeoutMs: left + ANSWER_MS },
    );
    const reply = await (signal ? unlessAborted(answer, signal) : answer);
    if (reply.type !== 'pull-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    const result = resultOf(topic, identity, reply, place.from, max);
    if (result.messages.length > 0 || reply.gap || performance.now() >= deadline) return result;
    // The broker waits for less long than was asked for: go on where it stood.
    place = { from: { offset: reply.nextOffset }, epoch: reply.epoch };
  }
}

function unlessAborted(answer: Promise<Command>, signal: AbortSignal): Promise<Command> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new RingmqError('closed', 'the pull was aborted'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function resultOf(
  topic: string,
  identity: TopicIdentity,
  reply: CommandOf<'pull-reply'>,
  from: NonNullable<PullRequest['from']>,
  max: number,
): PullResult {
  const frame = new DeliveredFrame().take(reply.batches);
  frame.check(true);
  const first = typeof from === 'object' && !reply.gap ? from.offset : 0;
  const messages: Message[] = [];
  const view = new BatchView().span(frame.bytes, frame.words, 0, frame.length);
  const record = new RecordView();
  while (messages.length < max && view.next()) {
    record.open(view);
    while (messages.length < max && record.next()) {
      if (record.offset >= first) messages.push(new Message(topic, reply.number, view, record, identity));
    }
  }
  const last = messages.at(-1);
  const nextOffset = last && messages.length === max ? last.offset + 1 : reply.nextOffset;
  return { messages, epoch: reply.epoch, nextOffset, gap: reply.gap };
}
