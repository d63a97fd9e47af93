// The `ringmq` command as a person or script meets it: real processes, their output and exit codes.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { type Ended, RunningCommand, runCommand } from '../../support/command.ts';
import { until } from '../../support/until.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-cli-'));
let server: RunningCommand;
let url = '';

function start(args: readonly string[]): RunningCommand {
  return new RunningCommand(args, { env: { RINGMQ_URL: url } });
}

function run(args: readonly string[], input?: Buffer | string, env: Record<string, string> = {}): Promise<Ended> {
  return runCommand(args, { env: { RINGMQ_URL: url, ...env } }, input);
}

beforeAll(async () => {
  server = start(['serve', '--volatile', '--port', '0', '--log-level', 'error', '--json']);
  await until(() => server.stdout.includes('\n'), 'the server is there', 20_000);
  url = (JSON.parse(server.stdout) as { url: string }).url;
});

afterAll(async () => {
  server.child.kill('SIGINT');
  expect(await server.ended).toBe(0);
  fs.rmSync(folder, { recursive: true });
});

/** Lines of every length and every byte but the newline. */
function binaryFile(lengthBytes: number): { bytes: Buffer; lines: number } {
  const bytes = Buffer.alloc(lengthBytes);
  let state = 12_345;
  let lines = 0;
  for (let at = 0; at < lengthBytes; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const isEnd = at === lengthBytes - 1 || (state >>> 16) % 61 === 0;
    const byte = (state >>> 8) & 255;
    bytes[at] = isEnd ? 10 : byte === 10 ? 13 : byte;
    if (isEnd) lines++;
  }
  return { bytes, lines };
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('a binary file goes through pub and sub unchanged', async () => {
  const { bytes, lines } = binaryFile(5_000_000);
  const source = path.join(folder, 'source');
  fs.writeFileSync(source, bytes);
  const sub = start(['sub', 'lines', '--count', String(lines)]);
  await until(() => sub.stderr.includes('subscribed'), 'subscribed');
  const pub = start(['pub', 'lines']);
  fs.createReadStream(source).pipe(pub.child.stdin);
  expect([await pub.ended, pub.stderr]).toEqual([0, expect.stringContaining('acknowledged')]);
  expect(await sub.ended).toBe(0);
  expect(sub.bytes.length).toBe(bytes.length);
  expect(digest(sub.bytes)).toBe(digest(bytes));
});

test('a last line without a newline counts; sub adds one, or none at all', async () => {
  await run(['pub', 'ends'], 'one\n\ntwo');
  expect((await run(['sub', 'ends', '--from', 'earliest', '--count', '3'])).stdout).toBe('one\n\ntwo\n');
  expect((await run(['sub', 'ends', '--from', 'earliest', '--count', '3', '--no-newline'])).stdout).toBe('onetwo');
});

test('messages may be delimited by zero bytes, counted, and repeated', async () => {
  await run(['pub', 'zeros', '--null-delimited', '--count', '2'], 'a\nb\0c\0d\0');
  await run(['pub', 'zeros', '--message', 'again', '--count', '3', '--partition', '0']);
  const { messages } = JSON.parse((await run(['pub', 'zeros', '--message', 'x', '--json'])).stdout);
  expect(messages).toBe(1);
  const all = await run(['sub', 'zeros', '--from', 'earliest', '--count', '6', '--json']);
  const bodies = all.stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { body: string }).body);
  expect(bodies.sort()).toEqual(['a\nb', 'again', 'again', 'again', 'c', 'x']);
});

test('JSON lines carry everything, and bytes that are no text as base64', async () => {
  await run(['pub', 'rich', '--message', '✓', '--key', 'k', '--tag', 't', '--property', 'a=b', '--property', 'c=d']);
  await run(['pub', 'rich', '--key', 'k'], Buffer.from([0xff, 0xfe, 10]));
  const { code, stdout, stderr } = await run(['sub', 'rich', '--from', 'earliest', '--count', '2', '--json']);
  expect([code, stderr]).toEqual([0, expect.stringMatching(/^subscribed to rich/)]);
  const [first, second] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(first).toMatchObject({
    topic: 'rich',
    offset: 0,
    key: 'k',
    tag: 't',
    properties: { a: 'b', c: 'd' },
    body: '✓',
  });
  expect(second).toMatchObject({ offset: 1, bodyBase64: '//4=' });
});

test('sub starts where it is told', async () => {
  await run(['pub', 'starts', '--key', 'k'], '0\n1\n2\n3\n4\n');
  expect((await run(['sub', 'starts', '--from', 'last:2', '--count', '2'])).stdout).toBe('3\n4\n');
  expect((await run(['sub', 'starts', '--from', 'offset:1', '--count', '2'])).stdout).toBe('1\n2\n');
});

test('topics are made, described, listed and deleted', async () => {
  const made = await run(['topic', 'create', 'orders', '--partitions', '2', '--overflow', 'reject', '--json']);
  expect(JSON.parse(made.stdout)).toMatchObject({ topic: 'orders', overflow: 'reject' });
  const again = await run(['topic', 'create', 'orders']);
  expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/exists/)]);
  expect((await run(['topic', 'create', 'orders', '--if-not-exists'])).code).toBe(0);
  expect((await run(['topic', 'list'])).stdout).toMatch(/^orders\s+2\s+no\s+reject\s+0$/m);
  expect((await run(['topic', 'describe', 'orders'])).stdout).toMatch(/PARTITION/);
  const listed = (await run(['topic', 'list', '--json'])).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).topic);
  expect(listed).toContain('orders');
  expect((await run(['topic', 'delete', 'orders'])).code).toBe(0);
  expect((await run(['topic', 'describe', 'orders'])).code).toBe(1);
});

test('wrong usage exits with 2 and says what is wrong', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['nosuch'], /unknown command 'nosuch'/],
    [['pub'], /missing required argument 'topic'/],
    [['pub', 't', '--nosuch'], /unknown option '--nosuch'/],
    [['sub', 't', '--count', 'many'], /whole number/],
    [['sub', 't', '--from', 'yesterday'], /earliest/],
    [['sub', 't', '--from', 'time:yesterday'], /-1h \(an hour ago\)/],
    [['pub', 't', '--ack', 'maybe', '--message', 'x'], /written, durable/],
    [['query', 't'], /say what to find/],
    [['query', 't', '--offset', '5'], /--partition/],
    [['topic', 'create', 't', '--durable', '--volatile'], /cannot be used with/],
    [['topic', 'retention', 't', '--age', 'long'], /72h/],
    [['serve', '--volatile', '--data', 'x'], /choose one/],
    [['serve', '--segment-bytes', '7'], /segmentBytes is 7/],
    [['log'], /Usage/],
    [['serve', '--port', '99999'], /65535/],
    [['serve', '--host', '0.0.0.0'], /--insecure/],
    [['topic', 'create', 't', '--overflow', 'spill'], /drop-oldest/],
    [['pub', 't', '--url', 'nonsense', '--message', 'x'], /'nonsense' is no address/],
    [[], /Usage/],
  ];
  for (const [args, text] of cases) {
    const { code, stderr } = await run(args);
    expect([args, code]).toEqual([args, 2]);
    expect(stderr).toMatch(text);
  }
});

test('failures while running exit with 1 and say what to do', async () => {
  const nobody = await run(['pub', 't', '--message', 'x'], '', { RINGMQ_URL: `ws://127.0.0.1:${await freePort()}` });
  expect(nobody.code).toBe(1);
  expect(nobody.stderr).toMatch(/no broker at .*ECONNREFUSED.*npx ringmq serve/);
  const port = new URL(url).port;
  const taken = await run(['serve', '--volatile', '--port', port, '--log-level', 'silent']);
  expect(taken.code).toBe(1);
  expect(taken.stderr).toMatch(new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: another program uses this port`));
  const noData = await run(['log', 'verify', '--data', folder]);
  expect([noData.code, noData.stderr]).toEqual([1, expect.stringContaining('no ringmq data in')]);
  const tooLarge = await run(['pub', 't'], 'x'.repeat(8_000_000));
  expect([tooLarge.code, tooLarge.stderr]).toEqual([1, expect.stringMatching(/message of 8000000 bytes/)]);
});

test('help teaches, the version is said, doctor finds the broker', async () => {
  for (const args of [['--help'], ['pub', '--help'], ['sub', '--help'], ['topic', '--help'], ['serve', '--help']]) {
    const { code, stdout } = await run(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples:/);
  }
  expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  const doctor = await run(['doctor', '--json', '--data', path.join(folder, 'not', 'yet')]);
  expect(doctor.code).toBe(0);
  expect(fs.existsSync(path.join(folder, 'not'))).toBe(false);
  const findings = doctor.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const found = (name: string) => findings.find(({ what }) => what === name);
  expect(found('broker')).toMatchObject({ verdict: 'ok' });
  expect(found('disk').text).toMatch(/: (direct|buffered); /);
  expect(found('fsync').text).toMatch(/ms \(median/);
  expect([found('lmdb').verdict, found('piscina').verdict, found('disk space').verdict]).not.toContain('bad');
});

test('a subscriber whose reader goes away ends quietly', async () => {
  const sub = start(['sub', 'pipes', '--from', 'earliest']);
  await until(() => sub.stderr.includes('subscribed'), 'subscribed');
  sub.child.stdout.destroy();
  await run(['pub', 'pipes', '--message', 'x', '--count', '1000']);
  expect(await sub.ended).toBe(0);
  expect(sub.stderr).not.toMatch(/EPIPE|Error/);
});

test('Ctrl-C ends a subscriber with a summary and a publisher with 130', async () => {
  const sub = start(['sub', 'stops']);
  await until(() => sub.stderr.includes('subscribed'), 'subscribed');
  sub.child.kill('SIGINT');
  expect([await sub.ended, sub.stderr]).toEqual([0, expect.stringContaining('received 0 messages')]);
  const pub = start(['pub', 'stops']);
  pub.child.stdin.write('one\n');
  const seen = start(['sub', 'stops', '--from', 'earliest', '--count', '1']);
  expect(await seen.ended).toBe(0);
  pub.child.kill('SIGINT');
  expect([await pub.ended, pub.stderr]).toEqual([130, expect.stringContaining('interrupted')]);
});

test('a gap is said and makes the exit code 3', async () => {
  await run(['topic', 'create', 'drops', '--partitions', '1', '--overflow', 'drop-oldest', '--ring-bytes', '64k']);
  const sub = start(['sub', 'drops', '--count', '200000']);
  await until(() => sub.stderr.includes('subscribed'), 'subscribed');
  // Stopped by its reader: the ring turns over meanwhile.
  sub.child.stdout.pause();
  sub.child.kill('SIGSTOP');
  await run(['pub', 'drops', '--message', 'x'.repeat(1_000), '--count', '100000']);
  sub.child.kill('SIGCONT');
  sub.child.stdout.resume();
  await until(() => sub.stderr.includes('gap in drops/0'), 'the gap is told', 20_000);
  sub.child.kill('SIGINT');
  expect(await sub.ended).toBe(3);
});
