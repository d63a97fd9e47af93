import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { assertData, DATA_FORMAT, dataFolders, markFormat, prepareData } from '../../../src/log/disk-folder.ts';
import { LOCK_NAME, lockFolder } from '../../../src/log/disk-lock.ts';

const MODULE = new URL('../../../dist/src/log/disk-lock.js', import.meta.url).href;
let folder = '';

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-folder-'));
});

afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

function claims(): string[] {
  const lock = path.join(folder, LOCK_NAME);
  return fs.existsSync(lock) ? fs.readdirSync(lock) : [];
}

test('a folder is taken once, also within one process, and again after its release', async () => {
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toMatchObject({
    code: 'data-in-use',
    message: expect.stringContaining('another broker of this process'),
  });
  lock.release();
  expect(claims()).toEqual([]);
  (await lockFolder(folder)).release();
  expect(fs.existsSync(path.join(folder, LOCK_NAME))).toBe(false);
});

test('the claim of a process that was killed is taken over', async () => {
  const child = await holder();
  await expect(lockFolder(folder)).rejects.toThrow(`the broker with process id ${child.pid}`);
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  expect(claims()).toHaveLength(1);
  (await lockFolder(folder)).release();
  expect(claims()).toEqual([]);
});

test('a stranger who got the number of a killed broker keeps nobody out', async () => {
  fs.mkdirSync(path.join(folder, LOCK_NAME));
  // Our own number, in an earlier life and in another boot.
  for (const life of ['1-00000000', '0-ffffffff']) {
    fs.writeFileSync(path.join(folder, LOCK_NAME, `${process.pid}-${life}-abc`), '');
  }
  fs.writeFileSync(path.join(folder, LOCK_NAME, 'nonsense'), '');
  (await lockFolder(folder)).release();
});

test('of many starters that find a dead claim one has the folder at a time', async () => {
  for (let round = 0; round < 5; round++) {
    fs.mkdirSync(path.join(folder, LOCK_NAME), { recursive: true });
    fs.writeFileSync(path.join(folder, LOCK_NAME, '4194999-1-0-dead'), '');
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => lockFolder(folder)));
    const won = results.filter((one) => one.status === 'fulfilled');
    expect(won.length).toBeLessThanOrEqual(1);
    for (const one of won) one.value.release();
  }
  (await lockFolder(folder)).release();
});

test('of several processes that start at once one has the folder at a time', async () => {
  const script = `
    const { lockFolder } = await import(${JSON.stringify(MODULE)});
    const fs = await import('node:fs');
    const marker = ${JSON.stringify(path.join(folder, '.held'))};
    for (let i = 0; i < 40; i++) {
      try {
        const lock = await lockFolder(${JSON.stringify(folder)});
        fs.writeFileSync(marker, String(process.pid), { flag: 'wx' });
        fs.rmSync(marker);
        lock.release();
      } catch (error) {
        if (error.code !== 'data-in-use') { console.error(error); process.exit(1); }
      }
    }`;
  const codes = await Promise.all(Array.from({ length: 3 }, () => runScript(script)));
  expect(codes).toEqual([0, 0, 0]);
});

test('a new folder gets its format, an old one keeps it, another one is refused', () => {
  const data = path.join(folder, 'a', 'b');
  prepareData(data);
  expect(() => assertData(data)).toThrow(/no ringmq data/);
  markFormat(data);
  prepareData(data);
  markFormat(data);
  assertData(data);
  expect(JSON.parse(fs.readFileSync(path.join(data, 'ringmq.json'), 'utf8'))).toEqual({ format: DATA_FORMAT });
  fs.writeFileSync(path.join(data, 'ringmq.json'), '{"format": 99}');
  expect(() => prepareData(data)).toThrow(expect.objectContaining({ code: 'data-unknown' }));
  expect(() => prepareData(data)).toThrow(/format 99/);
  fs.writeFileSync(path.join(data, 'ringmq.json'), 'garbage');
  expect(() => prepareData(data)).toThrow(/cannot be read/);
});

test('a folder with files of somebody else is not used', () => {
  fs.writeFileSync(path.join(folder, 'thesis.doc'), '');
  expect(() => prepareData(folder)).toThrow(/thesis\.doc.*empty folder/);
  expect(() => prepareData(path.join(folder, 'thesis.doc'))).toThrow(/is a file and not a folder/);
  expect(dataFolders(folder)).toMatchObject({ log: path.join(folder, 'log') });
});

/** A process that holds the folder until it is killed. */
async function holder() {
  const script = `const { lockFolder } = await import(${JSON.stringify(MODULE)});
    await lockFolder(${JSON.stringify(folder)}); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, nodeArgs(script), { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
}

function runScript(script: string): Promise<number | null> {
  const child = spawn(process.execPath, nodeArgs(script), { stdio: 'inherit' });
  return new Promise((resolve) => child.once('exit', resolve));
}

function nodeArgs(script: string): string[] {
  return ['--input-type=module', '--eval', script];
}
