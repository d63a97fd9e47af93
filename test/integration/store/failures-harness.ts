// Helpers of the failure tests: a broker process with a small log, damage to its files, and what readers were told.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Connection, Gap } from '../../../src/client/connection.ts';
import { type Ended, RunningCommand } from '../../support/command.ts';
import { Load } from '../../support/engine-ledger.ts';

const START_MAX_MS = 20_000;

/** Small segments and rings, so that most of a topic can only be read from the log. */
export const SMALL = ['--segment-bytes', '1m', '--ring-bytes', '64k'] as const;

/** Starts that must be refused; one that starts all the same is ended. */
export async function refusedStart(data: string, more: readonly string[] = [], uid?: number): Promise<Ended> {
  const args = ['serve', '--port', '0', '--log-level', 'warn', '--data', data, ...more];
  const running = new RunningCommand(args, uid === undefined ? {} : { uid });
  const timer = setTimeout(() => running.child.kill('SIGKILL'), START_MAX_MS);
  const code = await running.ended;
  clearTimeout(timer);
  return { code, stdout: running.stdout, stderr: running.stderr };
}

/** Sends 4 KB messages in `blocks` blocks of 20, each block acknowledged before the next one. */
export async function fillLog(connection: Connection, topic: string, blocks: number, prefix = 'm'): Promise<Load> {
  await connection.createTopic(topic, { partitions: 1, ifNotExists: true });
  const load = new Load(connection.producer(topic, { ack: 'durable' }), prefix);
  for (let i = 0; i < blocks; i++) await load.sendBlock(20, ` ${'.'.repeat(4_000)}`);
  return load;
}

export function logFiles(data: string, pattern: RegExp): string[] {
  const folder = path.join(data, 'log');
  return fs
    .readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => path.join(folder, name));
}

export const SEGMENT = /^\d{20}\.log$/;

/** Turns the bits of some bytes of a file over. */
export function flip(file: string, at: number, count = 4): void {
  const handle = fs.openSync(file, 'r+');
  try {
    const bytes = Buffer.alloc(count);
    fs.readSync(handle, bytes, 0, count, at);
    fs.writeSync(
      handle,
      bytes.map((byte) => byte ^ 0xff),
      0,
      count,
      at,
    );
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/** Damages the middle one of the messages in a segment; returns its number in the load. */
export function flipMiddle(file: string, prefix = 'm'): number {
  const text = fs.readFileSync(file).toString('latin1');
  const found = [...text.matchAll(new RegExp(`${prefix}(\\d+) \\.{100}`, 'g'))];
  const middle = found[found.length >> 1];
  flip(file, middle.index + 50);
  return Number(middle[1]);
}

/** Names, lengths and content of all files of a data folder, but for claims to it: dead ones are taken away. */
export function contentOf(folder: string): string {
  const hash = createHash('sha256');
  const names = fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('LOCK'))
    .sort();
  for (const name of names) {
    const file = path.join(folder, name);
    const isFile = fs.statSync(file).isFile();
    hash.update(`${name}:${isFile ? fs.statSync(file).size : 'folder'}\n`);
    if (isFile) hash.update(fs.readFileSync(file));
  }
  return hash.digest('hex');
}

export interface ReadBack {
  /** Offset -> body, without what filled it up. */
  readonly got: Map<number, string>;
  readonly gaps: readonly Gap[];
}

/** Reads a topic of one partition from its beginning to its end. */
export async function readBack(connection: Connection, topic: string): Promise<ReadBack> {
  const route = await connection.route(topic);
  const { nextOffset: end, oldestOffset } = route.partitions[0];
  const got = new Map<number, string>();
  const gaps: Gap[] = [];
  if (end === oldestOffset) return { got, gaps };
  await new Promise<void>((resolve, reject) => {
    let reached = oldestOffset;
    const reach = (offset: number): void => {
      reached = offset;
      if (reached >= end) void consumer.close().then(resolve);
    };
    const consumer = connection.consumer(topic, {
      from: 'earliest',
      onMessage: (message) => {
        got.set(message.offset, message.text());
        reach(message.offset + 1);
      },
      onGap: (gap) => {
        gaps.push(gap);
        reach(gap.to);
      },
      onError: reject,
    });
    setTimeout(() => reject(new Error(`came as far as ${reached} of ${end}`)), 20_000).unref();
  });
  return { got, gaps };
}

/** Acknowledged messages that neither came as they were sent nor lie in a gap that was told. */
export function lost({ got, gaps }: ReadBack, load: Load): string[] {
  return [...load.acked].flatMap(([place, body]) => {
    const offset = Number(place.split('@')[1]);
    const isTold = gaps.some((gap) => gap.from <= offset && offset < gap.to);
    if (got.get(offset) === body || (isTold && !got.has(offset))) return [];
    return [`${place} ${got.get(offset)?.slice(0, 20)}`];
  });
}
