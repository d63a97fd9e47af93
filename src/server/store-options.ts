// Options of the store: where a broker keeps its data, how much, for how long.
import { multipleOf, oneOf, refuse, whole, yesOrNo } from './option-checks.ts';

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const SEGMENT_UNIT = 4_096;
/** A hundred years. */
const RETENTION_MS_MAX = 876_600 * HOUR_MS;

export interface StoreOptions {
  /**
   * Folder of the data, made if it is not there: topics, messages and offsets outlive the process. One broker at a time
   * uses a folder. Default none: everything lives in memory. `ringmq serve` takes `./data` unless told `--volatile`.
   */
  readonly data?: string | undefined;
  /** Whether topics are durable that do not say so themselves. Default: true with a data folder. */
  readonly durable?: boolean;
  /** Bytes of a segment file of the log, made at full length ahead of time; 1 MiB to 2 GiB. Default 256 MiB. */
  readonly segmentBytes?: number;
  /** Milliseconds that messages are kept unless their topic says otherwise; 0: for ever. Default 72 h (RocketMQ's). */
  readonly retentionMs?: number;
  /** Bytes of log that are kept; the oldest segments go first. Default 0: as much as the disk takes. */
  readonly retentionBytes?: number;
  /**
   * How the log is written: `direct` past the page cache, `buffered` through it with fdatasync, `auto`: direct where
   * the file system can. Default `auto`.
   */
  readonly diskMode?: DiskMode;
  /**
   * What a start does when something that was acknowledged is damaged: `stop` with `log-corrupt` and change nothing, or
   * `quarantine`: set the damaged segment aside and go on; readers are told the gap. Default `stop`.
   */
  readonly onDamage?: OnDamage;
}

export type DiskMode = 'auto' | 'direct' | 'buffered';
export type OnDamage = 'stop' | 'quarantine';

/** With defaults filled in. Without `data` the rest has no effect. */
export interface SettledStore {
  readonly data: string | undefined;
  readonly durable: boolean;
  readonly segmentBytes: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly diskMode: DiskMode;
  readonly onDamage: OnDamage;
}

/** Names, in the order of the interface. */
export const STORE_KNOWN = [
  'data',
  'durable',
  'segmentBytes',
  'retentionMs',
  'retentionBytes',
  'diskMode',
  'onDamage',
] as const satisfies readonly (keyof StoreOptions)[];

/** Fills in defaults and checks every limit. Throws `illegal-argument` naming the option. */
export function settleStore(options: StoreOptions): SettledStore {
  const settled: SettledStore = {
    data: options.data,
    durable: options.durable ?? options.data !== undefined,
    segmentBytes: options.segmentBytes ?? 256 * MIB,
    retentionMs: options.retentionMs ?? 72 * HOUR_MS,
    retentionBytes: options.retentionBytes ?? 0,
    diskMode: options.diskMode ?? 'auto',
    onDamage: options.onDamage ?? 'stop',
  };
  check(settled);
  return settled;
}

function check(o: SettledStore): void {
  if (o.data !== undefined && (typeof o.data !== 'string' || o.data === '' || o.data.includes('\0'))) {
    refuse(`data is '${String(o.data)}': the path of a folder`);
  }
  yesOrNo('durable', o.durable);
  if (o.durable && o.data === undefined) refuse('durable is true without data: name a folder for the data');
  multipleOf('segmentBytes', o.segmentBytes, SEGMENT_UNIT, MIB, 2_048 * MIB);
  whole('retentionMs', o.retentionMs, 0, RETENTION_MS_MAX);
  whole('retentionBytes', o.retentionBytes, 0, Number.MAX_SAFE_INTEGER);
  oneOf('diskMode', o.diskMode, ['auto', 'direct', 'buffered']);
  oneOf('onDamage', o.onDamage, ['stop', 'quarantine']);
}
