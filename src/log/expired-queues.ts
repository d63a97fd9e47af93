// Queues of which nothing is left in the log, and where their offsets go on: `expired.json`. Offsets are never given
// twice, and no segment says any more what the next one is.
//
// Who writes: retention, before it removes the last segment with runs of a queue. Who reads: recovery, the log index.
import { crc32 } from 'node:zlib';
import { utf8 } from '../record/text.ts';
import type { Disk } from './disk.ts';
import { readFile, replaceFile } from './segment-files.ts';

const NAME = 'expired.json';

export interface ExpiredQueue {
  readonly topicId: number;
  readonly partition: number;
  readonly nextOffset: number;
}

/** The file's content; empty if there is none, or if it is damaged. */
export function readExpired(disk: Disk): readonly ExpiredQueue[] {
  try {
    const bytes = readFile(disk, NAME);
    if (!bytes) return [];
    const { crc, queues } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { crc: number; queues: number[][] };
    if (crc !== crc32(JSON.stringify(queues))) return [];
    return queues.map(([topicId, partition, nextOffset]) => ({ topicId, partition, nextOffset }));
  } catch {
    return [];
  }
}

/** Replaces the file as a whole. */
export function writeExpired(disk: Disk, expired: readonly ExpiredQueue[]): void {
  const queues = expired.map(({ topicId, partition, nextOffset }) => [topicId, partition, nextOffset]);
  replaceFile(disk, NAME, utf8(JSON.stringify({ crc: crc32(JSON.stringify(queues)), queues })));
}
