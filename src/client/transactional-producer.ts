// Sends messages that nobody sees before they are committed, and answers for producers of its group that are gone.
import { RingmqError } from '../base/codes.ts';
import { isGroupName } from '../base/units.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import { messageId } from '../record/message-id.ts';
import { utf8 } from '../record/text.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { Call, TransactionCheck } from '../wire/services.ts';
import { bytesCodec, type Codec } from './codec.ts';
import type { MessageExtras, SendReceipt } from './connection.ts';
import { GatheredCalls } from './gathered-calls.ts';
import type { HalfSender, StoredHalf } from './half-sender.ts';
import { Message } from './message.ts';
import type {
  TransactionalProducer,
  TransactionFate,
  TransactionOptions,
  Transaction as TransactionPublic,
} from './messaging.ts';
import { asRefusal, checkBody } from './sent.ts';
import { type Known, TransactionEndings } from './transaction-endings.ts';

/** What the connection does for it. */
export interface TransactionHost {
  readonly call: Call;
  route(topic: string): Promise<TopicRoute>;
  failed(error: Error): void;
  /** Stores half messages without the coordinator, as far as it can. */
  readonly halves?: HalfStore | undefined;
  /** The producer is closed: forget it. */
  closed(producer: { close(): Promise<void> }): void;
}

export type HalfStore = Pick<HalfSender, 'accepted' | 'store' | 'keepsUp' | 'mayCommit' | 'commit' | 'close'>;

/** Messages, and about how many bytes of them, in one call: it must fit a frame. */
const PREPARE_MAX = 256;
const PREPARE_BYTES = 128 * 1024;
/** Longest that a call waits to be asked about half messages. */
const CHECK_WAIT_MS = 3_000;
/** Longest that checks are waited for before the next ones are asked for: by then they may be asked again. */
const CHECK_LIMIT_MS = 30_000;
const AGAIN_MS = 1_000;
const GROUP_LENGTH_MAX = 120;

/** A half message to be stored. */
interface Begun {
  readonly body: Uint8Array;
  readonly extras: MessageExtras;
  readonly resolve: (transaction: string) => void;
  readonly reject: (error: unknown) => void;
}

export class CallTransactionalProducer<T> implements TransactionalProducer<T> {
  readonly topic: string;
  private readonly host: TransactionHost;
  private readonly options: TransactionOptions<T>;
  private readonly codec: Codec<T>;
  private readonly prepares: GatheredCalls<Begun>;
  private readonly endings: TransactionEndings;
  private readonly checkLimitMs: number;
  private topicId: Promise<number> | undefined;
  private isClosed = false;

  constructor(topic: string, options: TransactionOptions<T>, host: TransactionHost, checkLimitMs = CHECK_LIMIT_MS) {
    checkOptions(options);
    this.checkLimitMs = checkLimitMs;
    this.topic = topic;
    this.options = options;
    this.host = host;
    this.codec = options.codec ?? (bytesCodec as unknown as Codec<T>);
    this.prepares = new GatheredCalls(PREPARE_MAX, (begun) => this.prepare(begun));
    this.endings = new TransactionEndings(host.call, host.halves);
    void this.answerChecks();
  }

  async begin(body: T, extras: MessageExtras = {}): Promise<TransactionPublic> {
    if (this.isClosed) throw new RingmqError('closed', 'the producer is closed');
    const encoded = checkBody(this.codec.encode(body));
    const bytes = typeof encoded === 'string' ? utf8(encoded) : encoded;
    const half = await this.host.halves?.store(bytes, extras);
    return new OpenTransaction(half ?? (await this.prepared(bytes, extras)), this);
  }

  private prepared(body: Uint8Array, extras: MessageExtras): Promise<string> {
    return new Promise((resolve, reject) => {
      this.prepares.add({ body, extras, resolve, reject });
    });
  }

  async send<R>(body: T, work: (transaction: TransactionPublic) => R | Promise<R>, extras?: MessageExtras): Promise<R> {
    const transaction = await this.begin(body, extras);
    let result: R;
    try {
      result = await work(transaction);
    } catch (error) {
      // Nobody sees the message in any case: a check will say so again.
      await transaction.rollback().catch((refusal: unknown) => this.tell(asRefusal(refusal)));
      throw error;
    }
    await transaction.commit();
    return result;
  }

  /** Waits for what was asked for. Half messages that are open are left to others of the group. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.prepares.drained();
    await this.endings.drained();
    await this.host.halves?.close();
    this.host.closed(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  end(transaction: Known, how: 'commit' | 'rollback'): Promise<unknown> {
    return this.endings.end(transaction, how);
  }

  /** Waits until the message of a commit is stored. */
  async store(transaction: Known): Promise<SendReceipt> {
    const { partition, offset } = await this.endings.end(transaction, 'store');
    this.topicId ??= this.host.route(this.topic).then(
      ({ topicId }) => topicId,
      () => 0,
    );
    const topicId = await this.topicId;
    const id = offset < 0 || topicId === 0 ? '' : messageId(topicId, partition, offset);
    return { topic: this.topic, partition, offset, id };
  }

  /** A payload holds what is about a frame; larger messages travel alone. */
  private async prepare(begun: readonly Begun[]): Promise<void> {
    const builder = new BatchBuilder(PREPARE_BYTES);
    let chosen: Begun[] = [];
    const calls: Promise<void>[] = [];
    const flush = (): void => {
      if (chosen.length > 0) calls.push(this.prepareCall(chosen, closed(builder)));
      chosen = [];
      builder.reset();
    };
    const now = Date.now();
    for (const one of begun) {
      try {
        if (!builder.tryAdd(one.body, one.extras, now)) {
          flush();
          builder.tryAdd(one.body, one.extras, now);
        }
        chosen.push(one);
      } catch (error) {
        one.reject(error);
      }
    }
    flush();
    await Promise.all(calls);
  }

  /** Not repeated if no answer comes: the message could be there twice then. What was stored is asked about. */
  private async prepareCall(begun: readonly Begun[], payload: Uint8Array): Promise<void> {
    try {
      const params = { topic: this.topic, producerGroup: this.options.group };
      const { result } = await this.host.call('transaction-prepare', params, { payload });
      begun.forEach(({ resolve }, i) => {
        resolve(result.transactions[i]);
      });
      this.host.halves?.accepted();
    } catch (error) {
      for (const { reject } of begun) reject(error);
    }
  }

  /** Waits to be asked, for as long as the producer lives. */
  private async answerChecks(): Promise<void> {
    let told = '';
    while (!this.isClosed) {
      try {
        const params = { producerGroup: this.options.group, waitMs: CHECK_WAIT_MS };
        const { result, payload } = await this.host.call('transaction-checks', params);
        told = '';
        await this.answerAll(halvesIn(result.checks, payload));
      } catch (error) {
        const refusal = asRefusal(error);
        if (this.isClosed || refusal.code === 'closed') return;
        // The same failure again and again is told once.
        if (!refusal.retryable && refusal.message !== told) this.tell(refusal);
        told = refusal.message;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  /** One that takes its time, or for ever, does not keep others from being asked about. */
  private async answerAll(checks: readonly [TransactionCheck, Message][]): Promise<void> {
    let late: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<void>((resolve) => {
      late = setTimeout(resolve, this.checkLimitMs);
    });
    await Promise.race([Promise.all(checks.map(([check, half]) => this.answerCheck(check, half))), limit]);
    clearTimeout(late);
  }

  private async answerCheck({ transaction }: TransactionCheck, half: Message): Promise<void> {
    try {
      const fate: TransactionFate = await this.options.check(half);
      if (fate === 'unknown') return;
      if (fate !== 'commit' && fate !== 'rollback') {
        throw new RingmqError('illegal-argument', `check() gave ${String(fate)}: commit, rollback or unknown`);
      }
      await this.endings.end({ id: transaction, own: false }, fate);
    } catch (error) {
      // Its own producer has resolved it meanwhile.
      if (error instanceof RingmqError && error.code === 'transaction-ended') return;
      this.tell(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private tell(error: Error): void {
    const { onError } = this.options;
    if (onError) onError(error);
    else this.host.failed(error);
  }
}

class OpenTransaction implements TransactionPublic, Known {
  readonly own = true;
  readonly half: StoredHalf | undefined;
  ending?: 'asked' | 'sent' | 'decided';
  private name: string | undefined;
  private readonly producer: Pick<CallTransactionalProducer<never>, 'end' | 'store'>;

  constructor(half: StoredHalf | string, producer: Pick<CallTransactionalProducer<never>, 'end' | 'store'>) {
    if (typeof half === 'string') this.name = half;
    else this.half = half;
    this.producer = producer;
  }

  get id(): string {
    this.name ??= (this.half as StoredHalf).name;
    return this.name;
  }

  commit(): Promise<void>;
  commit(options: { readonly receipt: true }): Promise<SendReceipt>;
  async commit(options?: { readonly receipt: true }): Promise<void | SendReceipt> {
    if (options?.receipt) return this.producer.store(this);
    await this.producer.end(this, 'commit');
  }

  async rollback(): Promise<void> {
    await this.producer.end(this, 'rollback');
  }
}

function checkOptions({ group, check }: Pick<TransactionOptions, 'group' | 'check'>): void {
  if (!isGroupName(group) || group.includes('|') || group.length > GROUP_LENGTH_MAX) {
    const text = `names have 1 to ${GROUP_LENGTH_MAX} characters of A-Z a-z 0-9 % . _ -`;
    throw new RingmqError('illegal-group', `producer group ${JSON.stringify(group)}: ${text}`);
  }
  if (typeof check !== 'function') {
    throw new RingmqError(
      'illegal-argument',
      'a transactional producer needs check(): it says what became of a message',
    );
  }
}

function closed(builder: BatchBuilder): Uint8Array {
  const length = builder.closePayload(false);
  return builder.bytes.slice(0, length);
}

/** The half messages of an answer, with what is asked about them. */
function halvesIn(checks: readonly TransactionCheck[], payload: Uint8Array): [TransactionCheck, Message][] {
  const bytes = payload.byteOffset % 4 === 0 ? payload : payload.slice();
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const batch = new BatchView().span(bytes, words, 0, bytes.length);
  const record = new RecordView();
  const all: [TransactionCheck, Message][] = [];
  while (batch.next()) {
    record.open(batch);
    while (record.next() && all.length < checks.length) {
      const check = checks[all.length];
      all.push([check, new Message(check.topic, 0, batch, record, { topicId: 0 })]);
    }
  }
  return all;
}
