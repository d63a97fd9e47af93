// Queries in process: by key through the key index, by time through the log reader.
import { RingmqError } from '../base/codes.ts';
import { BatchView } from '../record/batch-view.ts';
import { KeyFinder, untilIndexed } from '../state/key-finder.ts';
import type { Participant } from '../thread/participant.ts';
import type { CommandOf, QueryMatch, TopicRoute } from '../wire/commands.ts';
import type { HistoryReads } from './history-source.ts';
import { locateInLog, readFromLog } from './log-requests.ts';

/** As RocketMQ's queryMsgByKey. */
const LIMIT = 64;
const READ_BYTES = 128 * 1024;

/** The key index: see state/key-finder.ts. */
export interface QueryKeys extends Pick<KeyFinder, 'open' | 'close'> {
  /** Resolves when it knows what the log has, or when that takes too long. */
  indexed(): Promise<void>;
}

/** Those of a thread that takes part. */
export function logQueries({ history, regions }: Participant, keysFolder: string | undefined): LogQueries {
  const finder = new KeyFinder(keysFolder, Date.now);
  return new LogQueries(history, {
    open: () => finder.open(),
    close: () => finder.close(),
    indexed: async () => regions.store && untilIndexed(regions.store, Date.now),
  });
}

export class LogQueries {
  private readonly log: HistoryReads | undefined;
  private readonly keys: QueryKeys;
  private closed = false;

  /** `log` is undefined where the broker keeps no data. */
  constructor(log: HistoryReads | undefined, keys: QueryKeys) {
    this.log = log;
    this.keys = keys;
  }

  /** Matches of a query, oldest first. Rejects with `topic-volatile`. */
  async find(route: TopicRoute, query: CommandOf<'query'>): Promise<CommandOf<'query-reply'>> {
    const { log } = this;
    if (!route.durable || !log) throw new RingmqError('topic-volatile');
    const limit = query.limit || LIMIT;
    const toTime = query.toTime || Number.MAX_SAFE_INTEGER;
    const asked = { ...query, limit: limit + 1, toTime };
    const found = query.key === '' ? await findByTime(log, route, asked) : await this.findByKey(route, asked);
    return { type: 'query-reply', matches: found.slice(0, limit), more: found.length > limit };
  }

  close(): void {
    this.closed = true;
    this.keys.close();
  }

  private async findByKey(route: TopicRoute, query: CommandOf<'query'>): Promise<readonly QueryMatch[]> {
    await this.keys.indexed();
    const keys = await this.keys.open();
    if (this.closed) {
      this.keys.close();
      throw new RingmqError('closed', 'the connection is closed');
    }
    const oldest = new Map(route.partitions.map((one) => [one.number, one.oldestOffset]));
    const isKept = (one: QueryMatch): boolean => one.offset >= (oldest.get(one.partition) ?? Number.POSITIVE_INFINITY);
    // The index forgets what retention took a little later.
    for (let most = query.limit; ; most *= 4) {
      const found = keys.find(route.topicId, query.key, query.fromTime, query.toTime, most);
      const kept = found.filter(isKept);
      if (kept.length >= query.limit || found.length < most) return kept.slice(0, query.limit);
    }
  }
}

async function findByTime(
  log: HistoryReads,
  route: TopicRoute,
  { fromTime, toTime, limit }: CommandOf<'query'>,
): Promise<readonly QueryMatch[]> {
  const found: QueryMatch[] = [];
  // One after the other: a topic may have thousands of partitions.
  for (const { number } of route.partitions) {
    const start = await locateInLog(log, route.topicId, number, fromTime);
    await enumerate(log, route.topicId, number, start, { fromTime, toTime, limit }, found);
  }
  return found.sort((a, b) => a.storedAt - b.storedAt || a.partition - b.partition || a.offset - b.offset);
}

interface Range {
  readonly fromTime: number;
  readonly toTime: number;
  readonly limit: number;
}

/** Adds the messages of one partition in a range of time: no more than the limit. */
async function enumerate(
  log: HistoryReads,
  topicId: number,
  partition: number,
  start: number,
  { fromTime, toTime, limit }: Range,
  into: QueryMatch[],
): Promise<void> {
  const view = new BatchView();
  let offset = start;
  let left = limit;
  while (left > 0) {
    const part = await readFromLog(log, topicId, partition, offset, READ_BYTES);
    if (part.nextOffset <= offset) return;
    view.span(part.bytes, part.words, 0, part.bytes.length);
    while (left > 0 && view.next()) {
      const { storedAt, baseOffset, count, epoch } = view;
      if (storedAt >= toTime) return;
      if (storedAt < fromTime) continue;
      for (let at = Math.max(baseOffset, offset); at < baseOffset + count && left > 0; at++, left--) {
        into.push({ partition, epoch, offset: at, storedAt });
      }
    }
    offset = part.nextOffset;
  }
}
