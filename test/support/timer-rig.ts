// A timer desk with its journal, mover and disk, in the test's own thread, on a connection to a real broker: so that a
// test can kill it at any call of the disk, and set its clock.
import { InProcessConnection } from '../../src/client/in-process.ts';
import { FileJournal } from '../../src/coordinator/journal-file.ts';
import { ConnectionMoveLog } from '../../src/coordinator/move-log.ts';
import { Mover } from '../../src/coordinator/mover.ts';
import { TimerDesk } from '../../src/coordinator/timer-desk.ts';
import type { Disk } from '../../src/log/disk.ts';
import { BatchBuilder, type RecordExtras } from '../../src/record/batch-builder.ts';
import { utf8 } from '../../src/record/text.ts';
import type { Broker } from '../../src/server/broker.ts';

const HOUSEKEEP_MS = 10;
/** Often, so that tests meet them. */
const CHECKPOINT_MS = 20;
const STAMP = { partition: 0, epoch: 0, request: 0, ack: 0, requestFlags: 0, producerId: 0, baseSequence: 0 };

export interface Scheduled extends RecordExtras {
  readonly body: string;
  readonly deliverAt: number;
}

/** One batch of these messages. */
export function payloadOf(messages: readonly (RecordExtras & { readonly body: string })[]): Uint8Array {
  const builder = new BatchBuilder(1024 * 1024);
  for (const { body, ...extras } of messages) builder.tryAdd(utf8(body), extras, 1);
  builder.close({ ...STAMP, checksum: false });
  return builder.bytes.slice(0, builder.length);
}

export class TimerRig {
  readonly connection: InProcessConnection;
  readonly desk: TimerDesk;
  readonly mover: Mover;
  readonly journal: FileJournal;
  readonly warnings: string[] = [];
  /** What housekeeping threw. */
  readonly errors: unknown[] = [];
  /** Milliseconds that the clock is ahead. */
  ahead = 0;
  private readonly heart: NodeJS.Timeout;

  constructor(broker: Broker, disk: Disk, { durable = false, ahead = 0 } = {}) {
    this.ahead = ahead;
    this.connection = new InProcessConnection(broker.attachment);
    const warn = (text: string): void => void this.warnings.push(text);
    this.connection.onError((error) => warn(error.message));
    this.journal = new FileJournal(disk);
    const { connection, journal } = this;
    this.mover = new Mover({
      journal,
      warn,
      publisher: (topic) => connection.fixedProducer(topic),
      log: new ConnectionMoveLog(connection),
      soon: (task) => void setImmediate(task),
    });
    const clock = (): number => this.now();
    this.desk = new TimerDesk({ connection, journal, disk, durable, clock, warn }, this.mover, CHECKPOINT_MS);
    const services = [this.mover, this.desk];
    journal.replay(services.map(({ part }) => part));
    this.mover.start();
    this.desk.start();
    this.heart = setInterval(() => {
      try {
        for (const service of services) service.housekeep(this.now());
        journal.compactIfLong();
      } catch (error) {
        this.errors.push(error);
      }
    }, HOUSEKEEP_MS);
  }

  now(): number {
    return Date.now() + this.ahead;
  }

  async schedule(topic: string, messages: readonly Scheduled[]): Promise<readonly string[]> {
    const deliverAt = messages.map((one) => one.deliverAt);
    const answer = await this.desk.handlers.schedule?.({ topic, deliverAt }, payloadOf(messages), { seat: 0 });
    return answer?.result.handles ?? [];
  }

  async recall(handle: string): Promise<void> {
    await this.desk.handlers.recall?.({ handle }, new Uint8Array(0), { seat: 0 });
  }

  /** After its disk has died: what it still wants to do can have no effect. */
  async abandon(): Promise<void> {
    clearInterval(this.heart);
    await this.connection.close();
  }

  async stop(): Promise<void> {
    clearInterval(this.heart);
    await Promise.all([this.mover.stop(), this.desk.stop()]);
    this.journal.sync();
    await this.connection.close();
  }
}
