// Publishing and pulling over plain HTTP.
import { CODES, codeName, RingmqError } from '../../base/codes.ts';
import { filterText } from '../../filter/filter.ts';
import { PULL_MAX_BYTES, PULL_WAIT_MAX_MS } from '../config.ts';
import { HeldBatches } from '../held-batches.ts';
import { pulledTexts } from '../json-commands.ts';
import { areForLater, type LaterMessages } from '../later-messages.ts';
import { type BuiltBatch, defaultAck, type MessageBatches, submitAll } from '../message-batches.ts';
import type { PublishDesk, Publisher } from '../publish-desk.ts';
import type { PullRequest, PullResult, Pulls } from '../pulls.ts';
import type { RouteBook } from '../routes.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { json, jsonText, refusal } from './answers.ts';
import { readPublish } from './publish-request.ts';
import { Query } from './query.ts';

export interface MessagesApiContext {
  readonly routes: RouteBook;
  readonly batches: MessageBatches;
  readonly desk: PublishDesk;
  readonly later: LaterMessages;
  readonly pulls: Pulls;
  /** While the broker stops nothing is published. */
  readonly stopping: () => boolean;
  /** There is work for the next turn. */
  readonly kick: () => void;
}

/** Time that the broker has to acknowledge. */
const ACK_WAIT_MS = 5_000;
const MESSAGES_MAX = 1_000;
const OK = CODES.ok.number;

export class MessagesApi {
  private readonly context: MessagesApiContext;

  constructor(context: MessagesApiContext) {
    this.context = context;
  }

  /** POST /api/topics/NAME/messages */
  async publish(request: HttpRequest, topic: string): Promise<HttpResponse> {
    const { routes, batches, desk, kick } = this.context;
    const { messages, partition, ack } = readPublish(request, topic);
    if (this.context.stopping()) throw new RingmqError('shutting-down');
    if (areForLater(messages)) {
      if (partition !== undefined)
        throw new RingmqError('illegal-argument', 'partition: not with deliverAt or delayMs');
      return json(200, { scheduled: await this.context.later.schedule(topic, messages) });
    }
    const route = await routes.fetch(topic, true);
    let number = 0;
    const built = batches.build(route, messages, {
      ack: ack ?? defaultAck(route),
      request: () => number++,
      partition,
    });
    const publication = new Publication(built, messages.length);
    submitAll(desk, publication, built);
    kick();
    const response = await publication.answer();
    routes.failed(topic, publication.failed);
    return response;
  }

  /** GET /api/topics/NAME/messages */
  async pull(request: HttpRequest, topic: string): Promise<HttpResponse> {
    const query = new Query(request.query, ['partition', 'offset', 'from', 'max', 'wait', 'epoch', 'filter', 'sql']);
    const max = Math.min(query.count('max', MESSAGES_MAX), MESSAGES_MAX);
    const waitMs = Math.min(query.count('wait', 0), PULL_WAIT_MAX_MS);
    let asked: PullRequest = {
      topic,
      partition: query.count('partition', 0),
      epoch: query.count('epoch', 0) | 0,
      from: fromOf(query),
      maxBytes: PULL_MAX_BYTES,
      waitMs,
      filter: filterOf(query),
    };
    const deadline = performance.now() + waitMs;
    let result = await this.pulled(request, asked);
    let texts = pulledTexts(topic, asked, result);
    // What there was is not wanted: the wait goes on behind it.
    while (texts.length === 0 && !result.gap && performance.now() < deadline && request.signal?.aborted !== true) {
      await new Promise((resolve) => setImmediate(resolve));
      const { epoch, nextOffset } = result;
      asked = { ...asked, epoch, from: { offset: nextOffset }, waitMs: Math.max(0, deadline - performance.now()) };
      result = await this.pulled(request, asked);
      texts = pulledTexts(topic, asked, result);
    }
    const shown = texts.slice(0, max);
    const nextOffset = shown.length < texts.length ? offsetOf(texts[max]) : result.nextOffset;
    const { number, epoch, gap } = result;
    const head = JSON.stringify({ partition: number, epoch, nextOffset, gap });
    return jsonText(200, `${head.slice(0, -1)},"messages":[${shown.join(',')}]}`);
  }

  private pulled(request: HttpRequest, asked: PullRequest): Promise<PullResult> {
    const { pulls, kick } = this.context;
    // The client may go away while it waits.
    const signal = asked.waitMs > 0 ? request.signal : undefined;
    const puller = {
      pulls: 0,
      get closed(): boolean {
        return signal?.aborted ?? false;
      },
    };
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(new RingmqError('closed')), { once: true });
      pulls.begin(puller, asked, { answer: resolve, refuse: reject });
      kick();
    });
  }
}

/** One call's messages on their way: several batches, one answer. */
class Publication implements Publisher {
  readonly held = new HeldBatches();
  private readonly batches: readonly BuiltBatch[];
  private readonly acks: { partition: number; offset: number }[];
  private waiting: number;
  /** The first status that was none of success. */
  failed: number = OK;
  private settled: (response: HttpResponse) => void = () => {};
  private readonly done: Promise<HttpResponse>;

  constructor(batches: readonly BuiltBatch[], messageCount: number) {
    this.batches = batches;
    this.waiting = batches.length;
    this.acks = new Array(messageCount);
    this.done = new Promise((resolve) => {
      this.settled = resolve;
    });
  }

  answered(request: number, status: number, _partition: number, _count: number, baseOffset: number): void {
    const { partition, indexes } = this.batches[request];
    if (status === OK) {
      indexes.forEach((index, i) => {
        this.acks[index] = { partition: partition.number, offset: baseOffset + i };
      });
    } else if (this.failed === OK) this.failed = status;
    if (--this.waiting > 0) return;
    this.settled(this.failed === OK ? json(200, { acks: this.acks }) : refusal(codeName(this.failed)));
  }

  async answer(): Promise<HttpResponse> {
    const timer = setTimeout(() => this.settled(refusal('timeout')), ACK_WAIT_MS);
    try {
      return await this.done;
    } finally {
      clearTimeout(timer);
    }
  }
}

function fromOf(query: Query): PullRequest['from'] {
  if (query.has('offset')) return { offset: query.count('offset', 0) };
  const from = query.text('from') || 'earliest';
  if (from === 'latest' || from === 'earliest') return from;
  if (/^\d/.test(from)) return { offset: query.count('from', 0) };
  throw new RingmqError('illegal-argument', 'from is latest, earliest or an offset');
}

function filterOf(query: Query): string {
  if (!query.has('sql')) return filterText(query.text('filter'));
  if (!query.has('filter')) return filterText({ sql: query.text('sql') });
  throw new RingmqError('illegal-argument', 'filter or sql: one of them');
}

function offsetOf(text: string): number {
  return (JSON.parse(text) as { offset: number }).offset;
}
