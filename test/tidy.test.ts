// What a machine can check of "How the code is written" (CONTRIBUTING.md). A rule that nobody checks decays.
//
// Each rule collects every place that breaks it, so that one run shows all of them. An exception stands in EXCEPTIONS
// with its reason, and one that nothing needs any more fails too.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAst } from 'rolldown/parseAst';
import { afterAll, expect, test } from 'vitest';

/** `rule file` -> why the rule does not hold there. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'syntax src/index.ts': 'a public door hands on the public types as they are',
  'syntax src/client/node.ts': 'a public door hands on the public types as they are',
  'syntax src/client/browser.ts': 'a public door hands on the public types as they are',
};

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;
const LINE_LENGTH_MAX = 120;

const LOW = ['native-layout', 'base'];
const RULES = ['routing', 'partition', 'group', 'delay', 'transaction', 'filter'];
const AGENTS = ['nameserver', 'broker', 'store', 'frontend', 'replication'];
const BELOW_AGENTS = [...LOW, 'memory', 'record', 'wire', 'thread', ...RULES, 'log', 'state'];

/** Which folders a folder may import besides itself; those that are not listed, none. `index` is src/index.ts. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'native-layout': [],
  base: ['native-layout'],
  memory: LOW,
  record: LOW,
  wire: [...LOW, 'record'],
  thread: [...LOW, 'memory', 'record', 'wire'],
  ...Object.fromEntries(RULES.map((folder) => [folder, [...LOW, 'memory', 'record', 'wire', ...RULES]])),
  log: [...LOW, 'memory', 'record'],
  state: [...LOW, 'memory', 'record', 'log'],
  admin: BELOW_AGENTS,
  // The page in the browser: a user of the client, not a part of the server.
  dashboard: [...LOW, 'record', 'wire', 'client', 'admin'],
  ...Object.fromEntries(AGENTS.map((folder) => [folder, [...BELOW_AGENTS, 'admin']])),
  client: BELOW_AGENTS,
  // An application of the broker inside the broker: it reads and publishes as any other client.
  coordinator: [...BELOW_AGENTS, 'client'],
  server: [...BELOW_AGENTS, ...AGENTS, 'coordinator', 'admin', 'client'],
  workers: [...BELOW_AGENTS, ...AGENTS, 'coordinator', 'admin', 'client', 'server'],
  cli: [...BELOW_AGENTS, ...AGENTS, 'admin', 'client', 'server', 'index'],
  index: [...BELOW_AGENTS, ...AGENTS, 'admin', 'client', 'server'],
};

/** Where execution starts; workers/ besides. */
const DOORS = [
  'src/index.ts',
  'src/client/browser.ts',
  'src/client/node.ts',
  'src/cli/main.ts',
  'src/admin/dashboard/main.ts',
];
const BROWSER_DOOR = 'src/client/browser.ts';
const BROWSER_PACKAGES = ['flatbuffers'];
const MAY_USE_FILES = /^src\/(log\/disk[^/]*|cli\/.*|admin\/.*)$/;
const FOLDERS_OF_KINDS = /(^|\/)(utils?|helpers?|types|interfaces|common|misc|lib)\//;

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const CODE_FOLDERS = ['src', 'workers', 'native-layout', 'test', 'bench', 'torture', 'scripts', 'bin'];
const CODE = CODE_FOLDERS.flatMap(filesUnder).filter((file) => /\.(ts|mjs)$/.test(file) && !isGenerated(file));
const PRODUCT = CODE.filter((file) => /^(src|workers|native-layout)\//.test(file));
const TEXTS = [...CODE, ...fs.readdirSync(ROOT), ...filesUnder('docs'), ...filesUnder('native-layout')].filter(
  (file) => /\.(ts|mjs|md|json|fbs|svg)$/.test(file) && !isGenerated(file),
);

/** A node of the syntax tree (ESTree with TypeScript's additions), as far as it is looked at here. */
interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

interface Source {
  readonly text: string;
  readonly lines: readonly string[];
  readonly nodes: readonly Node[];
  /** Specifiers of static and dynamic imports, and of files named by `new URL('./…', import.meta.url)`. */
  readonly imports: readonly string[];
}

const sources = new Map<string, Source>();
const exceptionsUsed = new Set<string>();

function filesUnder(folder: string): string[] {
  if (!fs.existsSync(path.join(ROOT, folder))) return [];
  const names = fs.readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names.map((name) => `${folder}/${name}`).filter((file) => fs.statSync(path.join(ROOT, file)).isFile());
}

function isGenerated(file: string): boolean {
  return file.startsWith('native-layout/generated/');
}

function source(file: string): Source {
  let found = sources.get(file);
  if (!found) {
    const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
    const nodes: Node[] = [];
    collect(parseAst(text, { lang: file.endsWith('.ts') ? 'ts' : 'js' }, file) as unknown as Node, nodes);
    found = { text, lines: text.split('\n'), nodes, imports: nodes.map(importOf).filter((name) => name !== undefined) };
    sources.set(file, found);
  }
  return found;
}

function collect(value: unknown, into: Node[]): void {
  if (Array.isArray(value)) for (const item of value) collect(item, into);
  else if (typeof value === 'object' && value !== null) {
    if (typeof (value as Node).type === 'string') into.push(value as Node);
    for (const child of Object.values(value)) collect(child, into);
  }
}

function importOf(node: Node): string | undefined {
  const from = (node.source ?? undefined) as { value?: unknown } | undefined;
  if (/^(Import|Export)/.test(node.type) && typeof from?.value === 'string') return from.value;
  if (node.type !== 'NewExpression' || (node.callee as Node).name !== 'URL') return undefined;
  const [first] = node.arguments as { value?: unknown }[];
  return typeof first?.value === 'string' && first.value.startsWith('.') ? first.value : undefined;
}

/** Repository path of a relative import. */
function resolve(file: string, specifier: string): string {
  const target = path.posix.join(path.posix.dirname(file), specifier);
  // A URL names the compiled file.
  const compiledFrom = target.replace(/\.js$/, '.ts');
  return fs.existsSync(path.join(ROOT, compiledFrom)) ? compiledFrom : target;
}

function relativeImports(file: string): string[] {
  return source(file)
    .imports.filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => resolve(file, specifier));
}

/** Name in ARROWS of the folder that a file belongs to. */
function folderOf(file: string): string {
  const [top, second, third] = file.split('/');
  if (top !== 'src') return top;
  if (file.startsWith('src/admin/dashboard/')) return 'dashboard';
  return third === undefined ? second.replace(/\.ts$/, '') : second;
}

function lineOf(file: string, node: Node): number {
  return source(file).text.slice(0, node.start).split('\n').length;
}

/** Files that can be reached from some others by imports. */
function reachable(from: readonly string[]): Set<string> {
  const seen = new Set<string>(from.filter((file) => fs.existsSync(path.join(ROOT, file))));
  for (const file of seen) {
    if (isGenerated(file) || !/\.(ts|mjs)$/.test(file)) continue;
    for (const target of relativeImports(file)) if (fs.existsSync(path.join(ROOT, target))) seen.add(target);
  }
  return seen;
}

/** The whole of a rule: which places in which files break it. */
function expectNone(rule: string, files: readonly string[], check: (file: string) => Iterable<string>): void {
  const broken: string[] = [];
  for (const file of files) {
    const places = [...check(file)];
    if (places.length > 0 && EXCEPTIONS[`${rule} ${file}`] !== undefined) exceptionsUsed.add(`${rule} ${file}`);
    else broken.push(...places.map((place) => `${file}${place}`));
  }
  expect(broken, `rule "${rule}"`).toEqual([]);
}

/** Places of nodes for which `test` holds. */
function nodesWhere(file: string, test: (node: Node) => boolean): string[] {
  return source(file)
    .nodes.filter(test)
    .map((node) => `:${lineOf(file, node)}`);
}

function linesWhere(lines: readonly string[], test: (line: string) => boolean): string[] {
  return lines.flatMap((line, index) => (test(line) ? [`:${index + 1}: ${line.trim().slice(0, 80)}`] : []));
}

function importsWhere(file: string, test: (specifier: string) => boolean): string[] {
  return source(file)
    .imports.filter(test)
    .map((specifier) => ` -> ${specifier}`);
}

function isNamed(node: unknown, name: string): boolean {
  return (node as Node | undefined)?.type === 'Identifier' && (node as Node).name === name;
}

/** The arrow function of `describe('…', () => { … })` is a list of tests, not a function that does something. */
function isSuite(file: string, node: Node): boolean {
  if (!file.endsWith('.test.ts')) return false;
  return source(file).nodes.some(
    (call) =>
      call.type === 'CallExpression' &&
      /^describe\b/.test(source(file).text.slice(call.start, call.end)) &&
      (call.arguments as Node[]).includes(node),
  );
}

test('no file is longer than 400 lines', () => {
  expectNone('length', CODE, (file) => {
    const count = source(file).lines.length - 1;
    return count > FILE_LINES_MAX ? [`: ${count} lines`] : [];
  });
});

test('no function is longer than 70 lines', () => {
  expectNone('function', CODE, function* (file) {
    for (const node of source(file).nodes) {
      if (!/Function(Declaration|Expression)$/.test(node.type)) continue;
      const count = source(file).text.slice(node.start, node.end).split('\n').length;
      if (count > FUNCTION_LINES_MAX && !isSuite(file, node)) yield `:${lineOf(file, node)}: ${count} lines`;
    }
  });
});

test('no line is longer than 120 characters', () => {
  expectNone('line', CODE, (file) => linesWhere(source(file).lines, (line) => line.length > LINE_LENGTH_MAX));
});

test('every file begins by saying what it is', () => {
  // A test file's tests say it.
  const files = CODE.filter((file) => !file.endsWith('.test.ts'));
  expectNone('opening', files, (file) => (/^(#!.*\n)?\/[/*]/.test(source(file).text) ? [] : [': no comment on top']));
});

test('imports point down the layers', () => {
  expectNone('arrow', PRODUCT, function* (file) {
    const from = folderOf(file);
    for (const target of relativeImports(file)) {
      const to = folderOf(target);
      if (from !== to && !ARROWS[from]?.includes(to)) yield ` -> ${target}`;
    }
  });
});

test('every import of our own names a file that exists, with its ending', () => {
  expectNone('target', CODE, (file) =>
    relativeImports(file)
      .filter((target) => !target.startsWith('dist/') && !fs.existsSync(path.join(ROOT, target)))
      .map((target) => ` -> ${target}`),
  );
});

test('native-layout imports nothing outside itself', () => {
  const layout = PRODUCT.filter((file) => file.startsWith('native-layout/'));
  expectNone('layout', layout, (file) => importsWhere(file, (name) => !name.startsWith('./')));
});

test('what the browser client reaches uses neither Node nor shared memory', () => {
  const reached = [...reachable([BROWSER_DOOR])].filter((file) => !isGenerated(file));
  expectNone('browser', reached, function* (file) {
    if (file.startsWith('src/memory/') || file.startsWith('src/thread/')) yield ' is reached';
    for (const specifier of source(file).imports) {
      if (!specifier.startsWith('.') && !BROWSER_PACKAGES.includes(specifier)) yield ` -> ${specifier}`;
    }
  });
});

test('only src/memory names Atomics', () => {
  const others = PRODUCT.filter((file) => !file.startsWith('src/memory/'));
  expectNone('atomics', others, (file) => nodesWhere(file, (node) => isNamed(node, 'Atomics')));
});

test('only src/thread starts workers', () => {
  const others = PRODUCT.filter((file) => !file.startsWith('src/thread/'));
  expectNone('worker', others, (file) =>
    nodesWhere(file, (node) => node.type === 'NewExpression' && isNamed(node.callee, 'Worker')),
  );
});

test('only the disk, the command line and the admin pages use files', () => {
  const others = PRODUCT.filter((file) => !MAY_USE_FILES.test(file));
  expectNone('files', others, (file) => importsWhere(file, (name) => /^(node:)?fs(\/|$)/.test(name)));
});

test('TypeScript stays erasable, with named exports and no barrels', () => {
  const banned =
    /^(TSEnumDeclaration|TSParameterProperty|TSExportAssignment|ExportDefaultDeclaration|ExportAllDeclaration)$/;
  expectNone('syntax', CODE, (file) => nodesWhere(file, (node) => banned.test(node.type)));
});

test('no folder is named after a kind of code', () => {
  expectNone('folder', CODE, (file) => (FOLDERS_OF_KINDS.test(file) ? [': name what it is about'] : []));
});

test('nothing is left to be done in a comment', () => {
  const marks = new RegExp(
    `\\b(${['TO', 'FIX', 'X', 'HA'].map((w, i) => w + ['DO', 'ME', 'XX', 'CK'][i]).join('|')})\\b`,
  );
  expectNone('marks', TEXTS, (file) => linesWhere(textLines(file), (line) => marks.test(line)));
});

test('no path of somebody’s machine is written down', () => {
  const machine = new RegExp(`(?<![\\w.\\])])/(${['tmp', 'root', 'work', 'home', 'Users'].join('|')})/`);
  expectNone('machine', TEXTS, (file) => linesWhere(textLines(file), (line) => machine.test(line)));
});

test('the lock file names no registry', () => {
  expectNone('registry', ['package-lock.json'], (file) =>
    linesWhere(textLines(file), (line) => line.includes('"resolved": "http')),
  );
});

test('every file of src can be reached from a door', () => {
  const doors = [...DOORS, ...CODE.filter((file) => file.startsWith('workers/'))];
  const reached = reachable(doors);
  const src = CODE.filter((file) => file.startsWith('src/'));
  expectNone('dead', src, (file) => (reached.has(file) ? [] : [': nothing imports it']));
});

test('no test is left out or singled out', () => {
  const tests = CODE.filter((file) => file.startsWith('test/'));
  expectNone('only', tests, (file) =>
    nodesWhere(file, (node) => {
      if (
        node.type !== 'MemberExpression' ||
        !['only', 'skip', 'todo'].includes(String((node.property as Node).name))
      ) {
        return false;
      }
      return /^(test|it|describe|suite)\b/.test(source(file).text.slice(node.start, node.end));
    }),
  );
});

test('decision records are numbered without gaps and say context, decision and consequences', () => {
  const records = filesUnder('docs/adr').sort();
  expectNone('adr', records, function* (file) {
    const number = String(records.indexOf(file) + 1).padStart(4, '0');
    if (!new RegExp(`^docs/adr/${number}-[a-z0-9-]+\\.md$`).test(file)) yield `: expected ${number}-title.md`;
    const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
    for (const heading of ['Context', 'Decision', 'Consequences']) {
      if (!text.includes(`\n## ${heading}\n`)) yield `: no "## ${heading}"`;
    }
  });
});

afterAll(() => {
  expect(Object.keys(EXCEPTIONS).filter((key) => !exceptionsUsed.has(key))).toEqual([]);
});

function textLines(file: string): string[] {
  return fs.readFileSync(path.join(ROOT, file), 'utf8').split('\n');
}
