// Queries in process: by key through the key index, by time through the log reader.
import { RingmqError } from '../base/codes.ts';
import { BatchView } from '../record/batch-view.ts';
import type { CommandOf, QueryMatch, TopicRoute } from '../wire/commands.ts';
import type { HistoryReads } from './history-source.ts';
import { locateInLog, readFromLog } from './log-requests.ts';

/** As RocketMQ's queryMsgByKey. */
const LIMIT = 64;
const READ_BYTES = 128 * 1024;

/** Matches of a query, oldest first. Rejects with `topic-volatile`. */
export async function findInLog(
  log: HistoryReads | undefined,
  keysFolder: string | undefined,
  route: TopicRoute,
  query: CommandOf<'query'>,
): Promise<CommandOf<'query-reply'>> {
  if (!route.durable || !log || keysFolder === undefined) throw new RingmqError('topic-volatile');
  const limit = query.limit || LIMIT;
  const toTime = query.toTime || Number.MAX_SAFE_INTEGER;
  const asked = { ...query, limit: limit + 1, toTime };
  const found = query.key === '' ? await findByTime(log, route, asked) : await findByKey(keysFolder, route, asked);
  return { type: 'query-reply', matches: found.slice(0, limit), more: found.length > limit };
}

async function findByKey(
  keysFolder: string,
  route: TopicRoute,
  { key, fromTime, toTime, limit }: CommandOf<'query'>,
): Promise<readonly QueryMatch[]> {
  // Loaded by the first who asks: nobody else needs a database.
  const { KeyIndexReader } = await import('../state/key-index.ts');
  const reader = new KeyIndexReader(keysFolder);
  try {
    return reader.find(route.topicId, key, fromTime, toTime, limit);
  } finally {
    reader.close();
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
