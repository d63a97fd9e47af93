import { describe, expect, test } from 'vitest';
import { createRegions } from '../../../src/memory/regions.ts';
import { type BrokerOptions, settleOptions } from '../../../src/server/options.ts';
import { sizesOf } from '../../../src/server/sizes.ts';

describe('limits', () => {
  test.each<[string, readonly unknown[]]>([
    ['workers', [0, 17, 1.5, '2', Number.NaN]],
    ['topicsMax', [0, 1_000_001]],
    ['partitionsPerTopicMax', [0, 4_097]],
    ['partitionsDefault', [0, 257]],
    ['partitionMax', [32, 65, 524_288]],
    ['ringBytes', [8_192, 20_000, 2 ** 29]],
    ['laneBytes', [32_768, 100_000, 2 ** 26]],
    ['ringMemoryMaxBytes', [1_024, Number.POSITIVE_INFINITY]],
    ['brokerExpireMs', [199, 3_600_001]],
    ['brokerScanMs', [9, 600_001]],
    ['transactionTimeoutMs', [0, 86_400_001]],
    ['transactionCheckMs', [9, 1.5]],
    ['transactionChecksMax', [0, 10_001]],
    ['journalTailBytes', [4_095, 2 ** 30 + 1]],
    ['timerCheckpointMs', [9, 3_600_001]],
    ['drainMs', [-1, 600_001]],
    ['idle', ['sleep', 7]],
    ['overflow', ['explode', 'drop_oldest']],
    ['logLevel', ['loud']],
    ['data', ['', 7, 'a\0b']],
    ['durable', ['yes', true]],
    ['segmentBytes', [2 ** 19, 2 ** 20 + 1, 2 ** 32]],
    ['retentionMs', [-1, 0.5, 1e16]],
    ['retentionBytes', [-1, 1.5]],
    ['diskMode', ['mmap']],
    ['onDamage', ['ignore']],
  ])('%s is named when it is out of its range', (name, values) => {
    for (const value of values) {
      const options = { [name]: value } as BrokerOptions;
      const expected = expect.objectContaining({ code: 'illegal-argument', message: expect.stringContaining(name) });
      expect(() => settleOptions(options), `${name}: ${value}`).toThrow(expected);
    }
  });

  test.each<[string, readonly unknown[]]>([
    ['listen.port', [-1, 65_536, 1.5]],
    ['listen.frontends', [0, 17]],
    ['listen.connectionsMax', [0, 1_000_001]],
    ['listen.transport', ['tcp']],
  ])('%s is named when it is out of its range', (name, values) => {
    for (const value of values) {
      const options = { listen: { [name.slice('listen.'.length)]: value } } as BrokerOptions;
      expect(() => settleOptions(options)).toThrow(expect.objectContaining({ message: expect.stringContaining(name) }));
    }
  });

  test('the extremes are taken', () => {
    const least: BrokerOptions = { workers: 1, partitionMax: 64, ringBytes: 16_384, laneBytes: 65_536, drainMs: 0 };
    expect(settleOptions(least)).toMatchObject(least);
    const most: BrokerOptions = { workers: 16, ringBytes: 2 ** 28, ringMemoryMaxBytes: 2 ** 40 };
    expect(settleOptions(most)).toMatchObject(most);
  });
});

test('an unknown option is named, with those that are known', () => {
  expect(() => settleOptions({ worker: 2 } as BrokerOptions)).toThrow(/unknown option 'worker'; known are .*workers/);
  expect(() => settleOptions({ listen: { prot: 1 } } as BrokerOptions)).toThrow(/unknown listen option 'prot'/);
});

test('an address that others reach needs a word of its own', () => {
  for (const host of ['127.0.0.1', 'localhost', '::1', '127.8.8.8']) {
    expect(settleOptions({ listen: { host } }).listen?.host).toBe(host);
  }
  for (const host of ['0.0.0.0', '::', '192.168.1.4', '127.0.0.1.example.org']) {
    expect(() => settleOptions({ listen: { host } })).toThrow(/insecure/);
    expect(settleOptions({ listen: { host, insecure: true } }).listen?.insecure).toBe(true);
  }
});

test('the default lane fits whatever the number of workers, and one that does not is named', () => {
  for (let workers = 1; workers <= 16; workers++) {
    const options = settleOptions({ workers });
    expect(options.laneBytes).toBeGreaterThanOrEqual(512 * 1024);
    expect(() => createRegions('test', sizesOf(options, 0))).not.toThrow();
  }
  expect(settleOptions({ workers: 1 }).laneBytes).toBe(2 * 1024 * 1024);
  expect(() => settleOptions({ workers: 16, laneBytes: 2 ** 25 })).toThrow(/laneBytes/);
  // Answers of the log reader are twice as large: they must fit too.
  expect(settleOptions({ workers: 1, laneBytes: 2 ** 24 }).laneBytes).toBe(2 ** 24);
  expect(() => settleOptions({ workers: 1, laneBytes: 2 ** 24, data: 'somewhere' })).toThrow(/laneBytes/);
});

test('without a data folder nothing is durable; with one, everything unless it says otherwise', () => {
  expect(settleOptions({})).toMatchObject({ data: undefined, durable: false });
  expect(settleOptions({ data: 'd' })).toMatchObject({
    durable: true,
    segmentBytes: 2 ** 28,
    retentionMs: 259_200_000,
  });
  expect(settleOptions({ data: 'd', durable: false }).durable).toBe(false);
  expect(sizesOf(settleOptions({ data: 'd' }), 0).durable).toBe(true);
  expect(sizesOf(settleOptions({}), 0).durable).toBe(false);
});
