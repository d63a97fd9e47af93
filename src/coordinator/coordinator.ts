// The coordinator, put together: its own way into the broker, its journal, its services, and the calls of other
// threads.
import { SEAT_COORDINATOR } from '../../native-layout/control.ts';
import { RingmqError } from '../base/codes.ts';
import type { Fault } from '../base/fault.ts';
import { InProcessConnection } from '../client/in-process.ts';
import type { Disk } from '../log/disk.ts';
import { Doorbell } from '../memory/bell.ts';
import { type Attachment, attachRegions, type Regions } from '../memory/regions.ts';
import { beat } from '../memory/seats.ts';
import { EventLoopDriver } from '../thread/loop.ts';
import type { CheckRules } from '../transaction/half-table.ts';
import { CallLanes } from './call-lanes.ts';
import { Dispatcher } from './dispatcher.ts';
import type { OpenJournal } from './journal.ts';
import type { CoordinatorContext, Service } from './service.ts';
import { makeServices } from './services.ts';

export interface CoordinatorOptions {
  readonly attachment: Attachment;
  readonly journal: OpenJournal;
  readonly disk: Disk;
  readonly durable: boolean;
  readonly clock: () => number;
  /** When producers are asked about half messages. */
  readonly checks: CheckRules;
  /** Milliseconds between two checkpoints of scheduled messages. Default 300,000. */
  readonly timerCheckpointMs?: number;
  readonly warn: (text: string) => void;
  /** A bug was met: the thread must end. */
  readonly fault: (error: Fault) => void;
}

const SYNC_MS = 1_000;
const WARN_AGAIN_MS = 60_000;
/** Longest that services may take to end in order. */
const STOP_MS = 5_000;

export class Coordinator {
  private readonly options: CoordinatorOptions;
  private readonly regions: Regions;
  private readonly connection: InProcessConnection;
  private readonly services: readonly Service[];
  private readonly dispatcher: Dispatcher;
  private lanes: CallLanes | undefined;
  private driver: EventLoopDriver | undefined;
  private syncAt = 0;
  private readonly warned = new Map<string, number>();
  private isStopping = false;

  /** The calling thread holds the seat. */
  constructor(options: CoordinatorOptions) {
    this.options = options;
    const { attachment, journal, disk, durable, clock, warn, fault } = options;
    this.regions = attachRegions(attachment);
    this.connection = new InProcessConnection(attachment);
    this.connection.onError((error) => warn(error.message));
    const context: CoordinatorContext = { connection: this.connection, journal, disk, durable, clock, warn };
    this.services = makeServices(context, options.checks, options.timerCheckpointMs);
    this.dispatcher = new Dispatcher(this.services, { warn, fault });
  }

  /** Reads the journal, starts the services, then takes calls. */
  async start(): Promise<void> {
    this.options.journal.replay(this.services.flatMap(({ part }) => part ?? []));
    for (const service of this.services) await service.start();
    this.lanes = new CallLanes(this.regions, {
      call: (command, reply) => {
        if (this.isStopping) reply.refuse(new RingmqError('shutting-down'));
        else this.dispatcher.call(command, reply);
      },
      seatLeft: (seat) => {
        for (const service of this.services) service.seatLeft?.(seat);
      },
    });
    this.driver = new EventLoopDriver(new Doorbell(this.regions.control, SEAT_COORDINATOR), {
      work: () => this.lanes?.work() ?? 0,
      housekeep: () => this.housekeep(),
    });
    this.driver.hold(true);
  }

  /** Held calls are refused, what is under way ends, and everything is on the disk. */
  async stop(): Promise<void> {
    this.isStopping = true;
    const { journal } = this.options;
    const late = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS).unref());
    await Promise.race([this.stopServices(), late]);
    this.tryIt('the journal was not synced', () => journal.sync());
    // Lanes are served on: its own seat is cleared by this thread too.
    await this.connection.close();
    this.driver?.stop();
    this.tryIt('the journal was not closed', () => journal.close());
  }

  private async stopServices(): Promise<void> {
    for (const service of this.services) {
      try {
        await service.stop();
      } catch (error) {
        this.options.warn(`a part of the coordinator did not end in order: ${(error as Error).message}`);
      }
    }
  }

  private housekeep(): void {
    beat(this.regions.control, SEAT_COORDINATOR);
    if (this.isStopping) return;
    const now = this.options.clock();
    for (const service of this.services) {
      this.tryIt('a part of the coordinator failed', () => service.housekeep(now));
    }
    const { journal } = this.options;
    this.tryIt('the journal was not written anew', () => journal.compactIfLong());
    if (Math.abs(now - this.syncAt) < SYNC_MS) return;
    this.syncAt = now;
    this.tryIt('the journal was not synced', () => journal.sync());
  }

  private tryIt(what: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      this.warnOnce(`${what}: ${error.message}`);
    }
  }

  /** What goes wrong every time is said once a minute. */
  private warnOnce(text: string): void {
    const now = performance.now();
    for (const [said, at] of this.warned) if (now - at > WARN_AGAIN_MS) this.warned.delete(said);
    if (this.warned.has(text)) return;
    this.warned.set(text, now);
    this.options.warn(text);
  }
}
