// docs/features.md is true: every test and role that it names is there, every row of the README's table has a row, and
// what runs in all clients is named.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = fs.readFileSync(path.join(ROOT, 'docs/features.md'), 'utf8');
const README = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const FEATURES = 'test/support/features';

/** Names that links lead by -> file. */
const FILES = new Map([...PAGE.matchAll(/^\[([\w-]+)\]: \.\.\/(\S+)$/gm)].map(([, name, file]) => [name, file]));
/** What links say, and where they lead. */
const LINKS = [...PAGE.matchAll(/\[([^[\]]+)\]\[([\w-]+)\]/g)].map(([, text, name]) => ({ text, name }));

/** First cells of a table's rows, without its head. */
function rowsOf(table: string): string[] {
  return [...table.matchAll(/^\| ([^|]+?) \|/gm)].map(([, cell]) => cell);
}

/** Text behind a heading, up to the next one. */
function section(page: string, heading: string): string {
  return page.split(`\n${heading}\n`)[1].split('\n## ')[0];
}

function textOf(file: string): string {
  return fs.readFileSync(path.join(ROOT, file), 'utf8');
}

test('every test and role that is named stands in the file that the link leads to', () => {
  const missing = LINKS.filter(({ text, name }) => {
    const file = FILES.get(name);
    if (file === undefined || !fs.existsSync(path.join(ROOT, file))) return true;
    return !textOf(file).includes(file.startsWith('test/sim/') ? `class ${text} ` : text);
  });
  expect(missing).toEqual([]);
  expect(LINKS.length).toBeGreaterThan(150);
});

test('every file that is listed is linked to', () => {
  const used = new Set(LINKS.map(({ name }) => name));
  expect([...FILES.keys()].filter((name) => !used.has(name))).toEqual([]);
});

test('every row of the README’s table of features has a row', () => {
  const features = rowsOf(section(README, '## What it does'));
  const rows = new Set(rowsOf(section(`\n${PAGE}`, '# Features and their tests')));
  expect(features.length).toBeGreaterThan(25);
  expect(features.filter((name) => !rows.has(name))).toEqual([]);
});

test('every feature that is tested in all clients is named', () => {
  const files = fs.readdirSync(path.join(ROOT, FEATURES)).map((name) => `${FEATURES}/${name}`);
  const titles = files.flatMap((file) => [...textOf(file).matchAll(/^ {2}async '(.*)'\(/gm)].map(([, title]) => title));
  const named = new Set(LINKS.map(({ text }) => text));
  expect(titles.length).toBeGreaterThan(30);
  expect(titles.filter((title) => !named.has(title))).toEqual([]);
});
