// The log's crash points, in real processes on a real disk: what was said to be durable is there after the kill.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/log/crash-point.ts';
import { NodeDisk, probeDisk } from '../../../src/log/disk-node.ts';
import { recoverLog } from '../../../src/log/recovery.ts';

const PROGRAM = fileURLToPath(new URL('../../support/log-process.mjs', import.meta.url));
const RECOVER = { onDamage: 'stop', ringBytesMax: 0 } as const;
const BLOCK_BYTES = 12_288;

let root = '';

beforeAll(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-crash-'));
});

afterAll(() => fs.rmSync(root, { recursive: true }));

/** Writes blocks in a process; returns how it ended and the last position that it called durable. */
function write(folder: string, mode: string, blocks: number, crash: string) {
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, folder, mode, String(blocks)], {
    env: { ...process.env, RINGMQ_CRASH: crash },
    encoding: 'utf8',
  });
  const durable = Math.max(0, ...[...stdout.matchAll(/durable (\d+)/g)].map((match) => Number(match[1])));
  return { killed: signal === 'SIGKILL', status, durable, stderr };
}

function modes(): string[] {
  return probeDisk(path.join(root, 'probe')).mode === 'direct' ? ['direct', 'buffered'] : ['buffered'];
}

const POINTS: readonly [CrashPoint, number][] = [
  ['store.segment-created', 1],
  ['store.segment-created', 2],
  ['store.sealed', 1],
  ['store.sealed', 2],
  ['store.torn-write', 1],
  ['store.torn-write', 3],
  ['store.torn-write', 7],
];

test.each(POINTS)('a kill at %s:%i loses nothing that was durable, and the log goes on', (point, count) => {
  for (const mode of modes()) {
    const folder = path.join(root, `${point}-${count}-${mode}`);
    const first = write(folder, mode, 20, `${point}:${count}`);
    expect(first, first.stderr).toMatchObject({ killed: true });
    const found = recoverLog(new NodeDisk(folder), RECOVER);
    // At most a seal block and what is left of its segment lie between.
    expect(found.end - first.durable).toBeGreaterThanOrEqual(0);
    const blocks = Number(found.queues[0]?.nextOffset ?? 0);
    expect(blocks).toBe(
      first.durable === 0 ? 0 : Math.floor(first.durable / 65_536) * 5 + (first.durable % 65_536) / BLOCK_BYTES,
    );
    if (point === 'store.torn-write') expect(found.report.cutBytes).toBe(BLOCK_BYTES);
    const second = write(folder, mode, 20, '');
    expect(second, second.stderr).toMatchObject({ status: 0 });
    expect(recoverLog(new NodeDisk(folder), RECOVER)).toMatchObject({
      end: second.durable,
      queues: [{ oldestOffset: 0, nextOffset: blocks + 20 }],
      report: { cutBytes: 0 },
    });
  }
});

describe.each(['recovery.verified', 'log.index-written', 'recovery.done'])('a kill at %s', (point) => {
  test('does not change what the next recovery finds', () => {
    const folder = path.join(root, point);
    const { durable, status, stderr } = write(folder, 'buffered', 20, '');
    expect(status, stderr).toBe(0);
    for (const name of fs.readdirSync(folder).filter((one) => one.endsWith('.idx'))) fs.rmSync(path.join(folder, name));
    const { report: _, ...expected } = recoverLog(new NodeDisk(folder), RECOVER);
    for (const name of fs.readdirSync(folder).filter((one) => one.endsWith('.idx'))) fs.rmSync(path.join(folder, name));
    expect(write(folder, 'buffered', 1, `${point}:1`)).toMatchObject({ killed: true });
    const { report, ...found } = recoverLog(new NodeDisk(folder), RECOVER);
    expect(found).toEqual(expected);
    expect(found.end).toBe(durable);
    expect(report.cutBytes).toBe(0);
  });
});

test.each(['store.seald:1', 'store.sealed:0', 'store.sealed:1:tread'])(
  'a misspelt crash point is an error: %s',
  (crash) => {
    const { status, stderr } = write(path.join(root, 'misspelt'), 'buffered', 1, crash);
    expect(status).toBe(1);
    expect(stderr).toContain(`RINGMQ_CRASH is ${crash}`);
    expect(stderr).toContain('store.sealed');
  },
);

test('the main thread cannot end alone', () => {
  const { killed } = write(path.join(root, 'main'), 'buffered', 20, 'store.sealed:1:thread');
  expect(killed).toBe(true);
});
