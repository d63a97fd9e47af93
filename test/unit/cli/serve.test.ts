import { expect, test } from 'vitest';
import { brokerOptions } from '../../../src/cli/serve.ts';
import { settleOptions } from '../../../src/server/options.ts';

const GIVEN = {
  host: '127.0.0.1',
  port: 0,
  transport: 'auto',
  autoCreate: true,
  idle: 'park',
  logLevel: 'silent',
} as const;

test('serve keeps its data in ./data unless it is told otherwise', () => {
  expect(brokerOptions(GIVEN).data).toBe('./data');
  expect(settleOptions(brokerOptions(GIVEN)).durable).toBe(true);
  expect(brokerOptions({ ...GIVEN, data: 'elsewhere' }).data).toBe('elsewhere');
  expect(settleOptions(brokerOptions({ ...GIVEN, volatile: true }))).toMatchObject({ data: undefined, durable: false });
});

test('options of the store are handed on', () => {
  const store = {
    segmentBytes: 2 ** 20,
    retentionAge: 5_000,
    retentionBytes: 7,
    diskMode: 'buffered',
    onDamage: 'quarantine',
  } as const;
  expect(settleOptions(brokerOptions({ ...GIVEN, ...store }))).toMatchObject({
    segmentBytes: 2 ** 20,
    retentionMs: 5_000,
    retentionBytes: 7,
    diskMode: 'buffered',
    onDamage: 'quarantine',
  });
});

test('options of the coordinator are handed on', () => {
  const times = { transactionTimeout: 1_000, transactionCheck: 500, transactionChecksMax: 3 };
  const sizes = { journalTailBytes: 65_536, timerCheckpoint: 300 };
  expect(settleOptions(brokerOptions({ ...GIVEN, ...times, ...sizes }))).toMatchObject({
    transactionTimeoutMs: 1_000,
    transactionCheckMs: 500,
    transactionChecksMax: 3,
    journalTailBytes: 65_536,
    timerCheckpointMs: 300,
  });
});

test('a folder for nothing is refused', () => {
  expect(() => brokerOptions({ ...GIVEN, volatile: true, data: 'x' })).toThrow(/choose one/);
});
