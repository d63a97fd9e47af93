// Broker worker, store and log reader over real regions and a disk in memory, in one thread and driven by hand.
import { SEAT_LOG_READER, SEAT_STORE } from '../../../native-layout/control.ts';
import { PARTITION_STATES } from '../../../native-layout/partition-table.ts';
import { STORE_STATES } from '../../../native-layout/store.ts';
import { ACK_LEVELS } from '../../../src/base/units.ts';
import { BrokerAgent } from '../../../src/broker/broker-agent.ts';
import { BlockBuilder } from '../../../src/log/block-builder.ts';
import { alignedBytes } from '../../../src/log/disk-node.ts';
import { LogWriter } from '../../../src/log/log-writer.ts';
import { recoverLog } from '../../../src/log/recovery.ts';
import { queueKey, type RecoveredLog } from '../../../src/log/run.ts';
import { setPartitionState, setStoredPosition } from '../../../src/memory/partition-entry.ts';
import type { Regions, StoreRegion } from '../../../src/memory/regions.ts';
import { claimSeat } from '../../../src/memory/seats.ts';
import { storeState } from '../../../src/memory/store-state.ts';
import { StoreAgent } from '../../../src/store/store-agent.ts';
import type { StoreEvent } from '../../../src/store/store-context.ts';
import { type ClosableAgent, openStore } from '../../../src/store/store-successor.ts';
import { batchOf, type Publisher, RING, Table, WORKER } from '../../support/engine-table.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

export const SEGMENT = 4 * 1024 * 1024;
export const LEVEL = ACK_LEVELS;

export interface RigOptions {
  readonly mode?: 'direct' | 'buffered';
  readonly partitionMax?: number;
  readonly segmentBytes?: number;
  /** Bytes of the staging area. */
  readonly blockBytes?: number;
  /** Large blocks are written beside the store thread, and end when `disk.land()` says so. */
  readonly begins?: boolean;
}

type StoreRegions = Regions & { readonly store: StoreRegion };

export class StoreRig {
  readonly table: Table;
  readonly regions: StoreRegions;
  broker: BrokerAgent;
  readonly publisher: Publisher;
  readonly events: StoreEvent[] = [];
  disk = new FaultDisk();
  store: StoreAgent;
  /** In the place of `store`: see succeedStore(). */
  successor: ClosableAgent | undefined;
  writer!: LogWriter;
  now = 1_000;
  private readonly options: RigOptions;
  private request = 0;

  constructor(options: RigOptions = {}) {
    this.options = options;
    this.disk.begins = options.begins ?? false;
    this.table = new Table(true, options.partitionMax ?? 64);
    this.table.arenaBytes = 4 * RING * (options.partitionMax ?? 64);
    this.regions = this.table.regions as StoreRegions;
    claimSeat(this.regions.control, SEAT_STORE, SEAT_STORE, 'store', 98);
    claimSeat(this.regions.control, SEAT_LOG_READER, SEAT_LOG_READER, 'reader', 97);
    const memory = (options.partitionMax ?? 64) * RING;
    this.broker = new BrokerAgent(this.regions, WORKER, this.table.owned(memory));
    this.publisher = this.table.publisher();
    this.store = this.startStore();
  }

  /** The worker has died: its successor takes over. */
  succeedBroker(): void {
    this.broker = new BrokerAgent(this.regions, WORKER, this.table.owned((this.options.partitionMax ?? 64) * RING));
    this.broker.takeOver();
  }

  get mode(): 'direct' | 'buffered' {
    return this.options.mode ?? 'direct';
  }

  get state(): string | undefined {
    const state = storeState(this.regions.store);
    return Object.entries(STORE_STATES).find(([, number]) => number === state)?.[0];
  }

  /** A store thread's agent over what the disk has now: the first one, or a successor of one that is gone. */
  startStore(): StoreAgent {
    const { disk, mode, regions } = this;
    const found = this.recovered();
    const next = new Map(found.queues.map((one) => [queueKey(one.topicId, one.partition), one.nextOffset]));
    const { segmentBytes = SEGMENT, blockBytes } = this.options;
    this.writer = new LogWriter(disk, { mode, segmentBytes, generation: 1, clock: () => this.now }, found);
    this.store = new StoreAgent({
      regions,
      seat: SEAT_STORE,
      arenas: this.table.arenas,
      writer: this.writer,
      builder: new BlockBuilder(blockBytes === undefined ? undefined : alignedBytes(blockBytes)),
      mode,
      disk,
      generation: 1,
      logNext: (topicId, partition) => next.get(queueKey(topicId, partition)) ?? 0,
      hear: () => {},
      wantArenas: () => {},
      report: (event) => this.events.push(event),
    });
    return this.store;
  }

  /** The agent of a store thread that comes after another one: it looks for the end of the log by itself. */
  succeedStore(): ClosableAgent {
    const { disk, mode, regions } = this;
    this.successor = openStore(
      {
        regions,
        seat: SEAT_STORE,
        arenas: this.table.arenas,
        builder: new BlockBuilder(),
        mode,
        disk,
        generation: 1,
        segmentBytes: this.options.segmentBytes ?? SEGMENT,
        clock: () => this.now,
        hear: () => {},
        wantArenas: () => {},
        report: (event) => this.events.push(event),
      },
      undefined,
    );
    return this.successor;
  }

  /** What a broker would find that starts on this disk, or on another one. */
  recovered(disk = this.disk): RecoveredLog {
    return recoverLog(disk, { onDamage: 'stop', ringBytesMax: 1 << 20 });
  }

  /** Offsets behind what the log has, by partition. */
  ends(disk = this.disk): Record<number, number> {
    return Object.fromEntries(this.recovered(disk).queues.map((one) => [one.partition, one.nextOffset]));
  }

  send(id: number, bodies: readonly string[], ack: number = LEVEL.durable): number {
    this.publisher.send(batchOf(id, bodies, { request: ++this.request, ack }));
    return this.request;
  }

  /** One turn of the worker. */
  append(): void {
    this.broker.work(this.now);
  }

  /** Turns of both until nobody has anything to do, and no write is under way. */
  settle(): void {
    const store = this.successor ?? this.store;
    while (this.broker.work(this.now) + store.work(this.now) > 0 || this.disk.land());
  }

  /** Answers since the last call: `request:code@offset`; refusals without an offset. */
  answers(): string[] {
    this.broker.work(this.now);
    return this.publisher.answers().map(({ request, code, baseOffset }) => {
      return code === 'ok' || code === 'duplicate' ? `${request}:${code}@${baseOffset}` : `${request}:${code}`;
    });
  }

  /** As if the store had died before it showed how far it had written. */
  takeBackStored(id: number, position: number): void {
    setStoredPosition(this.regions.table, id, 'written', position);
    setStoredPosition(this.regions.table, id, 'durable', position);
  }

  delete(id: number): void {
    setPartitionState(this.regions.table, id, PARTITION_STATES.deleted);
    this.table.routesChanged();
  }
}
