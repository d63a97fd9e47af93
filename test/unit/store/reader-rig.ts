// A StoreRig with a log reader beside it, and a thread that asks it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SEAT_LOG_READER } from '../../../native-layout/control.ts';
import { STORE_WRITTEN_LOW } from '../../../native-layout/store.ts';
import { codeName } from '../../../src/base/codes.ts';
import { NodeDisk } from '../../../src/log/disk-node.ts';
import type { RecoveredLog } from '../../../src/log/run.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { claimSeat } from '../../../src/memory/seats.ts';
import { storeNumber } from '../../../src/memory/store-state.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import type { LogReaderEvent } from '../../../src/store/log-keeper.ts';
import { extentOf, keyDatabase, openLogReader } from '../../../src/store/log-reader.ts';
import type { LogReaderAgent } from '../../../src/store/log-reader-agent.ts';
import { History, type HistoryAnswer } from '../../../src/thread/history.ts';
import { type RigOptions, SEGMENT, StoreRig } from './rig.ts';

export interface ReaderRigOptions extends RigOptions {
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
  /** Measures how long reads take. Default: they take no time. */
  readonly clock?: () => number;
}

/** An answer, copied. */
export interface Told {
  readonly code: string;
  readonly base: number;
  readonly next: number;
  readonly oldest: number;
  /** `offset:text` of every record. */
  readonly texts: readonly string[];
}

export class ReaderRig extends StoreRig {
  readonly said: LogReaderEvent[] = [];
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-keys-'));
  readonly history: History;
  reader: LogReaderAgent;
  private readonly readerOptions: ReaderRigOptions;

  constructor(options: ReaderRigOptions = {}) {
    super(options);
    this.readerOptions = options;
    this.reader = this.startReader(this.recovered());
    claimSeat(this.regions.control, 21, 21, 'embedded', 96);
    this.history = new History(this.regions, 21, new Bells(this.regions.control));
  }

  /** A log reader's agent: the first one with `recovered`, or a successor of one that is gone. */
  startReader(recovered?: RecoveredLog): LogReaderAgent {
    const written = storeNumber(this.regions.store, STORE_WRITTEN_LOW);
    this.reader = openLogReader({
      regions: this.regions,
      seat: SEAT_LOG_READER,
      disk: this.disk,
      openKeys: keyDatabase(this.folder, new NodeDisk(this.folder)),
      extent: recovered ?? extentOf(this.disk, written),
      mode: 'buffered',
      segmentBytes: this.readerOptions.segmentBytes ?? SEGMENT,
      retentionMs: this.readerOptions.retentionMs ?? 0,
      retentionBytes: this.readerOptions.retentionBytes ?? 0,
      clock: this.readerOptions.clock ?? (() => 0),
      report: (event) => this.said.push(event),
    });
    return this.reader;
  }

  /** Turns of all three until nobody has anything to do. */
  override settle(): void {
    let did = 1;
    for (let turn = 0; did > 0; turn++) {
      if (turn > 100_000) throw new Error('it never settles');
      did = this.broker.work(this.now) + this.store.work(this.now) + this.reader.work(this.now);
    }
  }

  /** Asks, and works until the answer is there. */
  read(number: number, offset: number, maxBytes = 1 << 20): Told {
    return this.ask((answered) => this.history.read(1, number, offset, maxBytes, answered));
  }

  locate(number: number, timeMs: number): number {
    return this.ask((answered) => this.history.locate(1, number, timeMs, answered)).base;
  }

  /** Everything from an offset on. */
  readAll(number: number, from = 0, maxBytes = 1 << 20): string[] {
    const texts: string[] = [];
    for (let offset = from; ; ) {
      const told = this.read(number, offset, maxBytes);
      if (told.code !== 'ok') throw new Error(`${told.code} at ${offset}`);
      if (told.texts.length === 0) return texts;
      texts.push(...told.texts.filter((text) => Number(text.split(':')[0]) >= offset));
      offset = told.next;
    }
  }

  async end(): Promise<void> {
    await this.reader.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  private ask(start: (answered: (answer: HistoryAnswer) => void) => number): Told {
    let told: Told | undefined;
    const request = start((answer) => {
      told = copyOf(answer);
    });
    if (request === 0) throw new Error('the lane is full');
    for (let turn = 0; told === undefined; turn++) {
      if (turn > 1_000) throw new Error('no answer');
      this.store.work(this.now);
      this.reader.work(this.now);
      this.history.work();
    }
    return told;
  }
}

function copyOf(answer: HistoryAnswer): Told {
  const texts: string[] = [];
  const view = new BatchView().span(answer.bytes, answer.words, answer.at, answer.length);
  const record = new RecordView();
  while (view.next()) {
    record.open(view);
    while (record.next()) texts.push(`${record.offset}:${record.text()}`);
  }
  const { status, baseOffset: base, nextOffset: next, oldestOffset: oldest } = answer;
  return { code: codeName(status), base, next, oldest, texts };
}
