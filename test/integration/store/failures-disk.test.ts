// A disk that has no room, and folders that cannot be a broker's: what clients, /health and people are told, and that
// nothing acknowledged is missing afterwards.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { connect } from '../../../src/client/node.ts';
import { runCommand } from '../../support/command.ts';
import { dataFolder } from '../../support/engine.ts';
import { Load } from '../../support/engine-ledger.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { fillLog, lost, readBack, refusedStart } from './failures-harness.ts';

const MIB = 1024 * 1024;
const NOBODY = 65_534;

/** Mounts a small file system; undefined if this user may not. */
function smallDisk(options: string): { readonly folder: string; unmount(): void } | undefined {
  const folder = dataFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return { folder, unmount: () => void execFileSync('umount', ['-l', folder]) };
}

/** Takes all the room there is. */
function fill(file: string): void {
  const handle = fs.openSync(file, 'a');
  const bytes = new Uint8Array(64 * 1024);
  try {
    for (;;) fs.writeSync(handle, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    fs.closeSync(handle);
  }
}

async function health(url: string): Promise<{ status: number; store: string }> {
  const response = await fetch(`${url.replace('ws', 'http')}/health`);
  return { status: response.status, store: ((await response.json()) as { store: string }).store };
}

test('a full disk: publishers are told, readers read on, and with room everything goes on', async ({ skip }) => {
  const disk = smallDisk('size=64m');
  if (!disk) return skip('mounting a small file system needs root');
  const data = path.join(disk.folder, 'data');
  const ballast = path.join(disk.folder, 'ballast');
  try {
    const server = await ServerProcess.start(['--data', data, '--segment-bytes', '16m', '--ring-bytes', '64k']);
    const connection = connect(server.url);
    connection.onError(() => {});
    const load = await fillLog(connection, 'orders', 10);
    expect(load.failed).toEqual([]);

    const refused = connection.producer('orders', { ack: 'durable', attemptsMax: 1, timeoutMs: 2_000 });
    const more: { body: string; place: string }[] = [];
    const error = await untilAnswer(
      async () => {
        fill(ballast);
        const body = `late${more.length} ${'.'.repeat(4_000)}`;
        return refused.send(body).then(
          ({ partition, offset }) => void more.push({ body, place: `${partition}@${offset}` }),
          (failed: Error & { code?: string }) => failed,
        );
      },
      (answer) => answer?.code === 'disk-full',
      'publishers are told disk-full',
      20_000,
    );
    expect(error?.message).toMatch(/disk is full|disk-full/);
    for (const { body, place } of more) load.acked.set(place, body);
    expect(await health(server.url)).toMatchObject({ store: 'full' });
    const found = await untilAnswer(
      async () => {
        fill(ballast);
        return await runCommand(['doctor', '--data', data, '--url', server.url]);
      },
      ({ stdout }) => /its store is full/.test(stdout),
      'doctor says that the store is full',
      20_000,
    );
    expect(found.stdout).toMatch(/disk space .*used/);
    expect(found.code).toBe(1);
    await until(() => /full/.test(server.stderr), 'the broker says so on stderr');
    expect(lost(await readBack(connection, 'orders'), load)).toEqual([]);

    fs.rmSync(ballast);
    await untilAnswer(
      () => health(server.url),
      ({ store }) => store === 'running',
      'with room it goes on',
      20_000,
    );
    const after = new Load(connection.producer('orders', { ack: 'durable' }), 'n');
    for (let i = 0; i < 5; i++) await after.sendBlock(20, ` ${'.'.repeat(1_000)}`);
    expect(after.failed).toEqual([]);
    const all = await readBack(connection, 'orders');
    expect([lost(all, load), lost(all, after), all.gaps]).toEqual([[], [], []]);
    await connection.close();
    await server.kill();
    const again = await ServerProcess.start(['--data', data, '--segment-bytes', '16m']);
    const reader = connect(again.url);
    const kept = await readBack(reader, 'orders');
    expect([lost(kept, load), lost(kept, after)]).toEqual([[], []]);
    await reader.close();
    expect(await again.stop()).toBe(0);
  } finally {
    disk.unmount();
  }
}, 90_000);

/** One line that names the folder and says what to do. */
function expectOneLine({ code, stderr }: { code: number | null; stderr: string }, words: RegExp): void {
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(words);
  expect(stderr).not.toMatch(/\bat .*\.js:\d+/);
  expect([1, 2]).toContain(code);
}

test('a folder that is a file, is of a newer version, is of another program, or is used', async () => {
  const folder = dataFolder();
  const file = path.join(folder, 'file');
  fs.writeFileSync(file, 'text');
  expectOneLine(await refusedStart(file), /is a file and not a folder: name a folder/);
  expectOneLine(await refusedStart(path.join(file, 'below')), /below cannot be made.*name another folder/);

  const strange = path.join(folder, 'strange');
  fs.mkdirSync(strange);
  fs.writeFileSync(path.join(strange, 'novel.txt'), 'text');
  expectOneLine(await refusedStart(strange), /novel\.txt.*name an empty folder.*data-unknown/);
  expect(fs.readdirSync(strange)).toEqual(['novel.txt']);

  const data = path.join(folder, 'data');
  const server = await ServerProcess.start(['--data', data]);
  expectOneLine(await refusedStart(data), /is used by the broker with process id \d+: stop it.*data-in-use/);
  expect(await server.stop()).toBe(0);

  fs.writeFileSync(path.join(data, 'ringmq.json'), '{"format":99}\n');
  expectOneLine(await refusedStart(data), /says format 99.*use the version that wrote it.*data-unknown/);
}, 60_000);

test('a folder that may not be written', async ({ skip }) => {
  if (process.getuid?.() !== 0) return skip('running as another user needs root');
  const folder = dataFolder();
  fs.chmodSync(folder, 0o755);
  const data = path.join(folder, 'data');
  const server = await ServerProcess.start(['--data', data]);
  expect(await server.stop()).toBe(0);
  // Another user may look, but not write.
  expectOneLine(await refusedStart(data, [], NOBODY), /data cannot be written .*name another folder, or give this one/);
  expectOneLine(await refusedStart(path.join(folder, 'new'), [], NOBODY), /new cannot be made.*name another folder/);
  fs.chmodSync(data, 0o700);
  expectOneLine(await refusedStart(data, [], NOBODY), /data cannot be (made|written) .*name another folder, or give/);

  const readOnly = smallDisk(`size=${MIB},ro`);
  if (!readOnly) return skip('mounting needs root');
  try {
    expectOneLine(
      await refusedStart(path.join(readOnly.folder, 'data')),
      /cannot be made.*read-only.*name another folder/,
    );
    expectOneLine(await refusedStart(readOnly.folder), /cannot be written.*read-only.*name another folder/);
  } finally {
    readOnly.unmount();
  }
}, 60_000);
