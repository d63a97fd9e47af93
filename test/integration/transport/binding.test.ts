// Loading the native part of uWebSockets.js: where it is looked for, and what is said when it does not load.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { loadUwsBinding, loadUwsBindingFrom, runtimeFacts } from '../../../src/frontend/transport/uws-binding.ts';
import { NATIVE } from './harness.ts';

const FILE = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function packageFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ringmq-uws-'));
  folders.push(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'uWebSockets.js', version: '20.9.9' }));
  // Neither this nor a fallback may ever run.
  writeFileSync(join(folder, 'uws.js'), 'process.exit(99)');
  return folder;
}

function reasonFor(folder: string): string {
  const result = loadUwsBindingFrom([folder]);
  return result.ok ? 'it loads' : result.reason;
}

test('a package that is not there is a reason, not an error', () => {
  expect(reasonFor(join(tmpdir(), 'ringmq-no-such-folder'))).toBe(
    'the optional package uWebSockets.js is not installed',
  );
});

test('a package without a binary for this Node says so', () => {
  const reason = reasonFor(packageFolder());
  expect(reason).toContain('uWebSockets.js 20.9.9 has no binary for');
  expect(reason).toContain(`ABI ${process.versions.modules}`);
});

test('a binary that does not load says so in one line', () => {
  const folder = packageFolder();
  writeFileSync(join(folder, FILE), 'this is not a shared library');
  const reason = reasonFor(folder);
  expect(reason).toContain('uWebSockets.js 20.9.9 does not load: ');
  expect(reason).not.toContain('\n');
});

test('a broken package.json does not matter', () => {
  const folder = packageFolder();
  writeFileSync(join(folder, 'package.json'), '{');
  expect(reasonFor(folder)).toContain('(unknown version)');
});

test('the facts name Node, its ABI, the platform and what became of uWebSockets.js', () => {
  const facts = runtimeFacts();
  expect(facts.node).toBe(process.version);
  expect(facts.abi).toBe(process.versions.modules);
  expect(facts.platform).toBe(`${process.platform}-${process.arch}`);
  if (process.platform === 'linux' && facts.glibc !== undefined) expect(facts.glibc).toMatch(/^\d+\.\d+/);
  expect(facts.uWebSockets).toMatch(/ from |^not usable: /);
});

describe.each(NATIVE)('%s', () => {
  test('loads from the root of a package as well as from binaries/', () => {
    const loaded = loadUwsBinding();
    if (!loaded.ok) throw new Error(loaded.reason);
    const official = packageFolder();
    symlinkSync(loaded.path, join(official, FILE));
    const other = packageFolder();
    mkdirSync(join(other, 'binaries'));
    symlinkSync(loaded.path, join(other, 'binaries', FILE));
    for (const folder of [official, other]) {
      const result = loadUwsBindingFrom([join(tmpdir(), 'ringmq-no-such-folder'), folder]);
      if (!result.ok) throw new Error(result.reason);
      expect(result.version).toBe('20.9.9');
      expect(typeof result.binding.App).toBe('function');
    }
  });
});
