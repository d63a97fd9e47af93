// The coordinator's thread in a simulated process, put together as workers/coordinator.ts does it: an event loop of its
// own, its own way into the broker, a journal and buckets on the simulated disk.
import { SEAT_COORDINATOR } from '../../native-layout/control.ts';
import { Coordinator } from '../../src/coordinator/coordinator.ts';
import type { OpenJournal } from '../../src/coordinator/journal.ts';
import { FileJournal } from '../../src/coordinator/journal-file.ts';
import { type Attachment, attachRegions } from '../../src/memory/regions.ts';
import { claimSeat } from '../../src/memory/seats.ts';
import type { Participant } from '../../src/thread/participant.ts';
import { ProcessKilled, type SimDisk } from './sim-disk.ts';
import { EventLoop, type World } from './world.ts';

/** Producers are asked soon, and for as long as it takes. */
const CHECKS = { immunityMs: 300, intervalMs: 500, checksMax: 1_000 } as const;
const THREAD_ID = 1_900;
/** The journal is written anew every now and then. */
const TAIL_BYTES = 96 * 1024;

/** Puts something in the place of the journal: only to see that it is found out. */
export type JournalSabotage = (journal: OpenJournal) => OpenJournal;

/** What a test makes wrong on purpose. */
export interface CoordinatorSabotage {
  readonly journal?: JournalSabotage;
  /** Its clock is ahead by so much. */
  readonly aheadMs?: number;
}

const asItIs: JournalSabotage = (journal) => journal;

export class CoordinatorThread {
  readonly loop = new EventLoop('coordinator');
  ready = false;
  ended = false;
  /** It cannot start: for the disk's sake. */
  failed = false;
  private readonly world: World;
  private readonly disk: SimDisk;
  private coordinator: Coordinator | undefined;
  private stopping = false;
  private fault: unknown;

  constructor(world: World, disk: SimDisk) {
    this.world = world;
    this.disk = disk;
  }

  async start(attachment: Attachment, { journal = asItIs, aheadMs = 0 }: CoordinatorSabotage): Promise<void> {
    const { world, disk } = this;
    await world.turn(this.loop, () => {
      const { control } = attachRegions(attachment);
      const seat = claimSeat(control, SEAT_COORDINATOR, SEAT_COORDINATOR, 'coordinator', THREAD_ID);
      if (seat !== SEAT_COORDINATOR) throw new Error('the seat of the coordinator is taken');
      const coordinator = new Coordinator({
        attachment,
        journal: journal(new FileJournal(disk, TAIL_BYTES)),
        disk,
        durable: true,
        clock: () => world.wallMs() + aheadMs,
        checks: CHECKS,
        warn: (text) => world.trace.add(`coordinator: ${text}`),
        fault: (error) => {
          this.fault = error;
        },
      });
      this.coordinator = coordinator;
      coordinator.start().then(
        () => {
          this.ready = true;
        },
        (error: unknown) => this.cannotStart(error),
      );
    });
  }

  /** One turn of its event loop. Throws what is no way for it to die. */
  async turn(): Promise<void> {
    const { coordinator, world } = this;
    if (!coordinator || this.ended) return;
    await world.turn(this.loop, () => this.participant?.announcements.poll());
    await world.turnLoop(this.loop);
    if (this.disk.dead) throw new ProcessKilled('the coordinator');
    if (this.fault !== undefined) throw this.fault;
  }

  /** Ends in order. */
  async stop(): Promise<void> {
    const { coordinator } = this;
    if (!coordinator || this.stopping) return;
    this.stopping = true;
    await this.world.turn(this.loop, () => {
      coordinator.stop().then(
        () => {
          this.ended = true;
        },
        (error: unknown) => {
          this.fault = error;
        },
      );
    });
  }

  /** The thread dies. Returns what holds its seat as a client. */
  die(): Participant | undefined {
    const participant = this.ended ? undefined : this.participant;
    this.loop.end();
    this.coordinator = undefined;
    return participant;
  }

  /** Only a test looks so deep: a thread that dies does not close what it holds. */
  private get participant(): Participant | undefined {
    const { coordinator } = this;
    if (!coordinator) return undefined;
    const { connection } = coordinator as unknown as { readonly connection: { readonly participant: Participant } };
    return connection.participant;
  }

  private cannotStart(error: unknown): void {
    const { code } = error as { readonly code?: string };
    if (code === 'disk-full' || code === 'store-failed') this.failed = true;
    else this.fault = error;
  }
}
