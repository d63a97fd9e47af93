// Messages of a durable topic by key, by the time they were stored, or both: where they stand, oldest first.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { PERMISSION_READ } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { oldestOffset } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import { BatchView } from '../record/batch-view.ts';
import { type KeyFinder, untilIndexed } from '../state/key-finder.ts';
import type { CommandOf, PartitionRoute, QueryMatch, TopicRoute } from '../wire/commands.ts';
import { QUERY_MATCHES_MAX } from '../wire/frame.ts';
import { QUERIES_RUNNING, QUERY_MATCHES, QUERY_PARTITIONS, QUERY_READ_BYTES } from './config.ts';
import type { LogPart, LogQuestions } from './log-questions.ts';
import type { RouteBook } from './routes.ts';
import { Turns } from './turns.ts';

export type QueryRequest = Omit<CommandOf<'query'>, 'type'>;
export type QueryResult = Omit<CommandOf<'query-reply'>, 'type'>;

export interface QueriesContext {
  readonly regions: Regions;
  readonly routes: Pick<RouteBook, 'fetch'>;
  /** Undefined if the broker keeps no data. */
  readonly questions: Pick<LogQuestions, 'read' | 'locate'> | undefined;
  readonly keys: Pick<KeyFinder, 'open'>;
  readonly clock: () => number;
}

/** Matches that may have to be stepped over because retention has taken their messages. */
const FOUND_MAX = 64 * 1024;
const KEY_MAX_BYTES = 1_024;
const FOR_EVER = Number.MAX_SAFE_INTEGER;

export class Queries {
  private readonly context: QueriesContext;
  private readonly view = new BatchView();
  private readonly turns = new Turns(QUERIES_RUNNING);

  constructor(context: QueriesContext) {
    this.context = context;
  }

  /** The same as run(), as the command that answers. */
  async answer(request: QueryRequest): Promise<CommandOf<'query-reply'>> {
    const { matches, more } = await this.run(request);
    return { type: 'query-reply', matches, more };
  }

  /** Rejects with a RingmqError for what cannot be answered. */
  async run(request: QueryRequest): Promise<QueryResult & { readonly route: TopicRoute }> {
    const { key, fromTime, limit } = request;
    const toTime = request.toTime || FOR_EVER;
    if (limit > QUERY_MATCHES_MAX || limit < 0) {
      throw new RingmqError(
        'illegal-argument',
        `limit is ${limit}: 1 to ${QUERY_MATCHES_MAX}, or 0 for ${QUERY_MATCHES}`,
      );
    }
    if (fromTime >= toTime) throw new RingmqError('illegal-argument', 'fromTime must lie before toTime');
    if (new TextEncoder().encode(key).length > KEY_MAX_BYTES) throw new RingmqError('key-too-long');
    if (!this.context.questions) throw new RingmqError('not-durable');
    const route = await this.context.routes.fetch(request.topic, false);
    if (!route.durable) throw new RingmqError('topic-volatile');
    if (!route.partitions.every((one) => (one.permission & PERMISSION_READ) !== 0)) {
      throw new RingmqError('no-read-permission');
    }
    const most = limit || QUERY_MATCHES;
    const found =
      key === ''
        ? await this.turns.take(() => this.byTime(route, fromTime, toTime, most + 1))
        : await this.byKey(route, key, fromTime, toTime, most + 1);
    return { route, matches: found.slice(0, most), more: found.length > most };
  }

  private async byKey(
    route: TopicRoute,
    key: string,
    fromMs: number,
    toMs: number,
    most: number,
  ): Promise<QueryMatch[]> {
    const { regions, clock } = this.context;
    if (regions.store) await untilIndexed(regions.store, clock);
    const keys = await this.context.keys.open();
    for (let wanted = most; ; wanted *= 8) {
      const found = keys.find(route.topicId, key, fromMs, toMs, wanted);
      const there = found.filter((one) => this.isThere(route, one));
      if (there.length >= most || found.length < wanted || wanted >= FOUND_MAX) return there.slice(0, most);
    }
  }

  private isThere(route: TopicRoute, { partition, offset }: QueryMatch): boolean {
    const one = route.partitions.find(({ number }) => number === partition);
    return one !== undefined && offset >= oldestOffset(this.context.regions.table, one.id);
  }

  private async byTime(route: TopicRoute, fromMs: number, toMs: number, most: number): Promise<QueryMatch[]> {
    const all: QueryMatch[] = [];
    for (let first = 0; first < route.partitions.length; first += QUERY_PARTITIONS) {
      const some = route.partitions.slice(first, first + QUERY_PARTITIONS);
      const found = await Promise.all(some.map((one) => this.scan(route, one, fromMs, toMs, most)));
      all.push(...found.flat());
      // What is younger than as many others cannot be among them.
      all.sort(byAge);
      all.length = Math.min(all.length, most);
    }
    return all;
  }

  /** The first matches of one partition. */
  private async scan(
    { topicId }: TopicRoute,
    { id, number }: PartitionRoute,
    fromMs: number,
    toMs: number,
    most: number,
  ): Promise<QueryMatch[]> {
    const { questions, regions } = this.context;
    if (!questions) return [];
    const matches: QueryMatch[] = [];
    const queue = { topicId, number };
    let offset = fromMs > 0 ? await questions.locate(queue, fromMs) : oldestOffset(regions.table, id);
    for (;;) {
      const bytes = Math.min(QUERY_READ_BYTES, Math.max(BATCH_HEADER_BYTES, most * BATCH_HEADER_BYTES));
      const part = await questions.read(queue, offset, bytes);
      if (this.collect(part, number, offset, fromMs, toMs, most, matches)) return matches;
      const next = part.code === 'offset-out-of-range' ? part.oldestOffset : part.nextOffset;
      if (next <= offset) return matches;
      offset = next;
    }
  }

  /** True if there is nothing more to look for. */
  private collect(
    { bytes }: LogPart,
    partition: number,
    offset: number,
    fromMs: number,
    toMs: number,
    most: number,
    into: QueryMatch[],
  ): boolean {
    const { view } = this;
    view.span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
    while (view.next()) {
      const { baseOffset, count, storedAt, epoch } = view;
      if (storedAt >= toMs) return true;
      if (storedAt < fromMs) continue;
      for (let at = Math.max(baseOffset, offset); at < baseOffset + count; at++) {
        into.push({ partition, epoch, offset: at, storedAt });
        if (into.length === most) return true;
      }
    }
    return false;
  }
}

function byAge(a: QueryMatch, b: QueryMatch): number {
  return a.storedAt - b.storedAt || a.partition - b.partition || a.offset - b.offset;
}
