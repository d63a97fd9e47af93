// The server threads of a simulated process, put together as the thread doors in workers/ do it, over disks and a clock
// that are not real.
import { SEAT_LOG_READER, SEAT_NAMESERVER, SEAT_STORE } from '../../native-layout/control.ts';
import { STORE_WRITTEN_LOW } from '../../native-layout/store.ts';
import { BrokerAgent } from '../../src/broker/broker-agent.ts';
import { OwnedPartitions } from '../../src/broker/owned-partitions.ts';
import { BlockBuilder } from '../../src/log/block-builder.ts';
import { alignedBytes } from '../../src/log/disk-node.ts';
import { queueKey, type RecoveredLog } from '../../src/log/run.ts';
import { readTail } from '../../src/log/run-tail.ts';
import { ArenaSet, claimArenaId } from '../../src/memory/arena.ts';
import { readIdentity } from '../../src/memory/partition-entry.ts';
import { type Attachment, attachRegions, type Regions, storeRegions } from '../../src/memory/regions.ts';
import { claimSeat, partitionsUsed, seatGeneration } from '../../src/memory/seats.ts';
import { storeNumber } from '../../src/memory/store-state.ts';
import type { TopicRecord } from '../../src/nameserver/directory.ts';
import { NameServerAgent } from '../../src/nameserver/nameserver-agent.ts';
import type { LogReaderEvent } from '../../src/store/log-keeper.ts';
import { extentOf, openLogReader } from '../../src/store/log-reader.ts';
import { StoreAgent } from '../../src/store/store-agent.ts';
import type { StoreContext } from '../../src/store/store-context.ts';
import { openStore, type StoreOptions, storeContext } from '../../src/store/store-successor.ts';
import type { Agent } from '../../src/thread/agent.ts';
import { Announcements } from '../../src/thread/announcements.ts';
import type { SimDisk } from './sim-disk.ts';
import type { SimKeyIndex, SimMetaStore } from './sim-state.ts';

/** What outlives the process. */
export interface DataFolder {
  disk: SimDisk;
  /** The coordinator's folder. */
  coordinator: SimDisk;
  readonly meta: SimMetaStore;
  readonly keys: SimKeyIndex;
}

export interface BrokerSettings {
  readonly workers: number;
  readonly mode: 'direct' | 'buffered';
  readonly segmentBytes: number;
  readonly ringBytes: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

/** What every server thread of one life is started with. */
export interface Life {
  readonly settings: BrokerSettings;
  readonly folder: DataFolder;
  readonly generation: number;
  readonly recovered: RecoveredLog;
  /** As of now. */
  readonly attachment: () => Attachment;
  readonly topics: Map<string, TopicRecord>;
  readonly clock: () => number;
  /** What a person would read. */
  readonly say: (text: string) => void;
  /** Puts something in the place of the store's parts: only to see that it is found out. */
  readonly sabotage: (context: StoreContext) => StoreContext;
}

/** An agent, and the end of what it holds outside shared memory. */
export interface Started {
  readonly agent: Agent & { close?(): unknown };
  readonly letGo: () => void;
}

const PARTITIONS_MAX = 64;
/** Small: arenas are made, and made known, while the broker runs. */
const ARENA_BYTES = 128 * 1024;
/** At least so many rings of the usual size go into one. */
const ARENA_RINGS = 4;
/** In every other life: large blocks, or so small ones that they are written beside the store thread now and then. */
const BLOCK_BYTES = [128 * 1024, 16 * 1024];
const BROKER_EXPIRE_MS = 15_000;
const FIRST_THREAD_ID = 1_000;

export const SIZES = {
  frontendCount: 1,
  partitionMax: PARTITIONS_MAX,
  laneBytes: 64 * 1024,
  replyBytes: 4 * 1024,
  controlLaneBytes: 64 * 1024,
  durable: true,
} as const;

export function startNameServer(life: Life): Started {
  const { settings, folder, recovered, clock } = life;
  const { regions } = take(life, SEAT_NAMESERVER, 'nameserver');
  const options = {
    topicsMax: 100,
    partitionsPerTopicMax: 16,
    partitionsDefault: 2,
    ringBytesDefault: settings.ringBytes,
    laneMessageMaxBytes: SIZES.laneBytes / 2,
    overflowDefault: 'block',
    durableDefault: true,
    autoCreate: true,
    expireMs: BROKER_EXPIRE_MS,
    scanMs: 1_000,
  } as const;
  const { clean, queues } = recovered;
  const known = { clean, queues: queues.map((one) => ({ ...one, tail: [] })) };
  const memory = { known: [...life.topics.values()], meta: folder.meta, recovered: known, warn: life.say };
  const agent = new NameServerAgent(regions, options, clock, memory, ({ topic, record }) => {
    if (record) life.topics.set(topic, structuredClone(record));
    else life.topics.delete(topic);
  });
  return { agent, letGo: () => {} };
}

export function startStore(life: Life): Started {
  const { settings, folder, generation, clock } = life;
  const { mode, segmentBytes } = settings;
  const taken = take(life, SEAT_STORE, 'store');
  const { disk } = folder;
  const isFirst = seatGeneration(taken.regions.control, SEAT_STORE) === 1;
  const { arenas, announcements } = hearing(life);
  const options: StoreOptions = {
    regions: storeRegions(taken.regions),
    seat: SEAT_STORE,
    arenas,
    builder: new BlockBuilder(alignedBytes(BLOCK_BYTES[generation % BLOCK_BYTES.length])),
    mode,
    disk,
    generation,
    segmentBytes,
    clock,
    hear: () => announcements.poll(),
    wantArenas: () => announcements.say({ type: 'arenas-wanted' }),
    report: (event) => {
      life.say(`store: ${event.type}`);
      if (event.type === 'failed') disk.givenUp = true;
    },
  };
  const agent = openStore(options, isFirst ? life.recovered : undefined, (found) => {
    return new StoreAgent(life.sabotage(storeContext(options, found)));
  });
  return { agent, letGo: () => announcements.close() };
}

export function startLogReader(life: Life): Started {
  const { settings, folder, recovered, clock } = life;
  const { disk, keys } = folder;
  const taken = take(life, SEAT_LOG_READER, 'reader');
  const regions = storeRegions(taken.regions);
  const isFirst = seatGeneration(regions.control, SEAT_LOG_READER) === 1;
  const written = Math.max(isFirst ? recovered.end : 0, storeNumber(regions.store, STORE_WRITTEN_LOW));
  const agent = openLogReader({
    regions,
    seat: SEAT_LOG_READER,
    disk,
    openKeys: (logEnd) => keys.opened(logEnd),
    extent: isFirst ? recovered : extentOf(disk, written),
    mode: settings.mode,
    segmentBytes: settings.segmentBytes,
    retentionMs: settings.retentionMs,
    retentionBytes: settings.retentionBytes,
    clock,
    report: (event: LogReaderEvent) => life.say(`log reader: ${event.type}${'text' in event ? ` ${event.text}` : ''}`),
  });
  return { agent, letGo: () => {} };
}

export function startWorker(life: Life, seat: number): Started {
  const attachment = life.attachment();
  const { regions } = take(life, seat, 'broker');
  const { arenas, announcements } = hearing(life);
  const ownArenas = attachment.arenas.filter((arena) => arena.owner === seat).map((arena) => arena.id);
  const tails = tailsOf(life, regions, seat);
  const { disk } = life.folder;
  const agent = new BrokerAgent(
    regions,
    seat,
    new OwnedPartitions({
      regions,
      seat,
      arenas,
      ownArenas,
      ringMemoryMaxBytes: PARTITIONS_MAX * life.settings.ringBytes,
      recoveredTail: (id) => readTail(disk, tails.get(id) ?? []),
      addArena: () => {
        const lengthBytes = Math.max(ARENA_BYTES, life.settings.ringBytes * ARENA_RINGS);
        const buffer = new SharedArrayBuffer(lengthBytes);
        const arena = { id: claimArenaId(regions.control), owner: seat, buffer };
        arenas.add(arena.id, arena.buffer);
        announcements.say({ type: 'arena', arena });
        return arena.id;
      },
    }),
  );
  agent.takeOver();
  return { agent, letGo: () => announcements.close() };
}

/** The newest runs of the partitions that the table says are a worker's. */
function tailsOf(
  life: Life,
  { table, control }: Regions,
  seat: number,
): Map<number, RecoveredLog['queues'][0]['tail']> {
  const queues = new Map(life.recovered.queues.map((one) => [queueKey(one.topicId, one.partition), one]));
  const tails = new Map<number, RecoveredLog['queues'][0]['tail']>();
  for (let id = 0; id < partitionsUsed(control); id++) {
    const identity = readIdentity(table, id);
    if (!identity?.durable || identity.owner !== seat) continue;
    const queue = queues.get(queueKey(identity.topic, identity.number));
    if (queue && queue.tail.length > 0) tails.set(id, queue.tail);
  }
  return tails;
}

function take(life: Life, seat: number, role: 'nameserver' | 'store' | 'reader' | 'broker'): { regions: Regions } {
  const regions = attachRegions(life.attachment());
  if (claimSeat(regions.control, seat, seat, role, FIRST_THREAD_ID + seat) !== seat) {
    throw new Error(`seat ${seat} is taken`);
  }
  return { regions };
}

function hearing(life: Life): { readonly arenas: ArenaSet; readonly announcements: Announcements } {
  const attachment = life.attachment();
  const arenas = new ArenaSet();
  for (const arena of attachment.arenas) arenas.add(arena.id, arena.buffer);
  return { arenas, announcements: new Announcements(attachment.id, arenas) };
}
