// What a broker with a data folder needs before its threads start: the folder's lock, the number of this start, the log
// as it was left; and what each of its threads is told of it. Loaded only by brokers with data.
import { RingmqError } from '../base/codes.ts';
import type { Log } from '../base/log.ts';
import { type DataFolders, dataFolders, markFormat, prepareData } from '../log/disk-folder.ts';
import { type FolderLock, lockFolder } from '../log/disk-lock.ts';
import { NodeDisk, probeDisk } from '../log/disk-node.ts';
import { recoverLog, segmentsToVerify } from '../log/recovery.ts';
import { queueKey, type RecoveredLog, type RecoveredQueue, type RecoveryReport, type Run } from '../log/run.ts';
import { fileLength, segmentName } from '../log/segment-files.ts';
import type { SegmentVerdict } from '../log/segment-verdict.ts';
import { readIdentity } from '../memory/partition-entry.ts';
import type { Attachment } from '../memory/regions.ts';
import { partitionsUsed } from '../memory/seats.ts';
import { openMetaStore } from '../state/meta-store.ts';
import type { CoordinatorWorkerData, LogReaderWorkerData, StoreWorkerData } from '../thread/worker-data.ts';
import type { SettledStore } from './store-options.ts';
import { verifyInParallel } from './verify-pool.ts';

/** Less than this is verified sooner than threads are started. */
const POOL_BYTES_MIN = 64 * 1024 * 1024;
const PROGRESS_MS = 1_000;

/** The options that matter here. */
export interface OpenStoreOptions extends SettledStore {
  readonly data: string;
  /** Bytes of a ring: it starts with up to half of it out of the log. */
  readonly ringBytes: number;
}

/**
 * Takes the folder and finds out what it holds. Rejects with `data-in-use`, `data-unknown`, `log-corrupt` or
 * `state-corrupt`; the folder is free again then.
 */
export async function openStore(options: OpenStoreOptions, log: Log): Promise<OpenStore> {
  const folders = dataFolders(options.data);
  prepareData(folders.data);
  const lock = await lockFolder(folders.data);
  try {
    markFormat(folders.data);
    const mode = writingMode(options, folders.log, log);
    const recovered = await recover(options, folders.log, log);
    // Last: a start that is refused changes nothing.
    const generation = countStart(folders.meta);
    return new OpenStore(options, { folders, lock, generation, mode, recovered });
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface Opened {
  readonly folders: DataFolders;
  readonly lock: FolderLock;
  /** Counts the starts of the broker with this folder. */
  readonly generation: number;
  readonly mode: 'direct' | 'buffered';
  readonly recovered: RecoveredLog;
}

export class OpenStore {
  private readonly options: OpenStoreOptions;
  private readonly opened: Opened;
  /** By queueKey(); for broker workers, also ones that are started again: a ring may be opened late. */
  private readonly queues: ReadonlyMap<number, RecoveredQueue>;
  /** Threads that have been told what the log holds: their successors find out what it holds by then. */
  private readonly told = new Set<'store' | 'log-reader'>();

  constructor(options: OpenStoreOptions, opened: Opened) {
    this.options = options;
    this.opened = opened;
    this.queues = new Map(opened.recovered.queues.map((one) => [queueKey(one.topicId, one.partition), one]));
  }

  forNameServer(): object {
    const { folders, recovered } = this.opened;
    const { queues, clean } = recovered;
    // Runs are of no interest there.
    const known = { clean, queues: queues.map((one) => ({ ...one, tail: [] })) };
    // A successor too: its predecessor may have died before it brought the topics back.
    return { stateFolder: folders.meta, recovered: known };
  }

  forStoreThread(): Omit<StoreWorkerData<RecoveredLog>, 'attachment'> {
    const { folders, mode, generation, recovered } = this.opened;
    const { segmentBytes } = this.options;
    const first = this.isFirst('store');
    return { folder: folders.log, mode, segmentBytes, generation, ...(first ? { recovered } : {}) };
  }

  forLogReader(): Omit<LogReaderWorkerData<RecoveredLog>, 'attachment'> {
    const { folders, mode, recovered } = this.opened;
    const { segmentBytes, retentionMs, retentionBytes } = this.options;
    return {
      folder: folders.log,
      keysFolder: folders.keys,
      mode,
      segmentBytes,
      retentionMs,
      retentionBytes,
      ...(this.isFirst('log-reader') ? { recovered } : {}),
    };
  }

  forCoordinator(): Pick<CoordinatorWorkerData, 'folder'> {
    return { folder: this.opened.folders.coordinator };
  }

  /** The newest runs of the partitions that the table says are a worker's. */
  forWorker(attachment: Attachment, seat: number): object {
    const table = new Int32Array(attachment.table);
    const used = partitionsUsed(new Int32Array(attachment.control));
    const tails: { id: number; runs: readonly Run[] }[] = [];
    for (let id = 0; id < used; id++) {
      const identity = readIdentity(table, id);
      if (!identity?.durable || identity.owner !== seat) continue;
      const queue = this.queues.get(queueKey(identity.topic, identity.number));
      if (queue && queue.tail.length > 0) tails.push({ id, runs: queue.tail });
    }
    return { logFolder: this.opened.folders.log, tails };
  }

  /** What was looked at before the threads started, and how long it took. */
  get recovery(): RecoveryReport {
    return this.opened.recovered.report;
  }

  /** Gives the folder back. Last of all: the threads have ended. */
  release(): void {
    this.opened.lock.release();
  }

  private isFirst(thread: 'store' | 'log-reader'): boolean {
    const first = !this.told.has(thread);
    this.told.add(thread);
    return first;
  }
}

/** The state is open in one thread at a time: here for a moment, then in the NameServer's. */
function countStart(folder: string): number {
  const meta = openMetaStore(folder);
  try {
    return meta.nextGeneration();
  } finally {
    meta.close();
  }
}

function writingMode({ diskMode }: OpenStoreOptions, folder: string, log: Log): 'direct' | 'buffered' {
  if (diskMode === 'buffered') return 'buffered';
  const { mode, reason } = probeDisk(folder);
  if (diskMode === 'direct' && mode !== 'direct') {
    throw new RingmqError('illegal-argument', `diskMode is 'direct', but in ${folder} ${reason}: use 'auto'`);
  }
  log.info({ folder, mode, reason }, 'how the log is written');
  return mode;
}

async function recover(options: OpenStoreOptions, folder: string, log: Log): Promise<RecoveredLog> {
  const disk = new NodeDisk(folder);
  const bases = segmentsToVerify(disk);
  const bytes = bases.reduce((sum, base) => sum + fileLength(disk, segmentName(base)), 0);
  const verdicts = new Map<number, SegmentVerdict>();
  if (bases.length > 1 && bytes >= POOL_BYTES_MIN) {
    log.info({ segments: bases.length, bytes }, 'verifying the log');
    let saidAt = performance.now();
    const jobs = bases.map((base) => ({ folder, base, options: {} }));
    await verifyInParallel(jobs, (verdict) => {
      verdicts.set(verdict.base, verdict);
      if (performance.now() - saidAt < PROGRESS_MS) return;
      saidAt = performance.now();
      log.info({ verified: verdicts.size, of: bases.length }, 'verifying the log');
    });
  }
  const { onDamage, ringBytes } = options;
  const recovered = recoverLog(disk, { onDamage, ringBytesMax: ringBytes / 2, verdicts });
  const { clean, end, queues, report } = recovered;
  const { verifiedBytes, cutBytes, damaged } = report;
  const tookMs = Math.round(report.tookMs);
  log.info({ clean, end, queues: queues.length, verifiedBytes, cutBytes, tookMs }, 'the log is recovered');
  if (damaged.length > 0) log.warn({ damaged }, 'parts of the log are damaged and set aside');
  return recovered;
}
