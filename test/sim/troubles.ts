// What goes wrong in the middle of a life: threads die, the disk is full or fails or takes the process down in a write,
// clocks jump, connections break. Healing is a trouble's other half.
import type { Participant } from '../../src/thread/participant.ts';
import type { EmbeddedApplication } from './applications.ts';
import type { Books } from './books.ts';
import type { BrokerProcess } from './broker-process.ts';
import type { Network } from './network.ts';
import type { Plan } from './plan.ts';
import type { DataFolder } from './server-threads.ts';
import type { World } from './world.ts';

const TROUBLES = [
  'thread-dies',
  'thread-dies',
  'thread-dies-in-a-write',
  'front-end-dies',
  'application-dies',
  'disk-full',
  'disk-fills-up',
  'sync-fails',
  'clock-jumps',
  'connection-breaks',
  'connection-breaks',
] as const;
/** Where there is a coordinator. */
const MESSAGING_TROUBLES = [
  ...TROUBLES,
  'coordinator-dies',
  'coordinator-dies',
  'coordinator-dies-in-a-write',
  'application-dies',
] as const;
const FULL_MS_MAX = 1_500;
const JUMP_MS = 20_000;
const BACK_SOON_MS = 100;

export class Troubles {
  private readonly books: Books;
  private readonly world: World;
  private readonly network: Network;
  private readonly plan: Plan;
  private readonly died: (thread: Participant) => void;
  private healAt = Number.POSITIVE_INFINITY;
  /** Applications that died in this life, and when they are started again. */
  private readonly back = new Map<EmbeddedApplication, number>();

  constructor(books: Books, network: Network, plan: Plan, died: (thread: Participant) => void) {
    this.books = books;
    this.world = books.world;
    this.network = network;
    this.plan = plan;
    this.died = died;
  }

  /** `last`: nothing may go wrong for good. */
  async turn(
    broker: BrokerProcess,
    folder: DataFolder,
    apps: readonly EmbeddedApplication[],
    last = false,
  ): Promise<void> {
    const { world } = this;
    if (world.nowMs >= this.healAt) this.heal(folder);
    for (const [app, at] of this.back) {
      if (world.nowMs < at) continue;
      this.back.delete(app);
      await app.start(broker);
    }
    if (world.random(this.plan.troubleTurns) === 0) this.make(broker, folder, apps);
    if (last) folder.disk.broken = false;
    if (this.plan.messaging) {
      // One volume.
      folder.coordinator.full = folder.disk.full;
      folder.coordinator.broken = folder.disk.broken;
    }
  }

  /** The disk is as good as new, unless it failed for good. */
  heal({ disk, coordinator }: DataFolder): void {
    this.healAt = Number.POSITIVE_INFINITY;
    for (const one of [disk, coordinator]) {
      one.full = false;
      one.usedPercent = 10;
      one.dieIn = -1;
      one.killIn = -1;
    }
  }

  /** Everything is well again, and everybody is there. */
  async end(broker: BrokerProcess, folder: DataFolder): Promise<void> {
    this.heal(folder);
    for (const app of this.back.keys()) await app.start(broker);
    this.back.clear();
  }

  /** A life is over. */
  forget(): void {
    this.back.clear();
    this.healAt = Number.POSITIVE_INFINITY;
  }

  private make(broker: BrokerProcess, folder: DataFolder, apps: readonly EmbeddedApplication[]): void {
    const { world } = this;
    const { disk, coordinator } = folder;
    const troubles = this.plan.messaging ? MESSAGING_TROUBLES : TROUBLES;
    const trouble = troubles[world.random(troubles.length)];
    world.trace.add(`${world.nowMs} trouble: ${trouble}`);
    switch (trouble) {
      case 'thread-dies':
        broker.kill(broker.threads[world.random(broker.threads.length)]);
        break;
      case 'thread-dies-in-a-write':
        disk.dieIn = world.random(20);
        break;
      case 'front-end-dies':
        broker.killFrontEnd();
        break;
      case 'application-dies':
        this.killApplication(broker, apps);
        break;
      case 'disk-full':
        disk.full = true;
        this.healAt = world.nowMs + world.random(FULL_MS_MAX);
        break;
      case 'disk-fills-up':
        disk.usedPercent = 80 + world.random(this.plan.messaging ? 5 : 19);
        // Above the watermark the oldest segments go, whatever their age.
        if (disk.usedPercent > 85) this.books.expires = true;
        this.healAt = world.nowMs + world.random(FULL_MS_MAX);
        break;
      case 'sync-fails':
        // Rare: nothing is stored in the rest of this life.
        disk.broken = world.chance(10) || disk.broken;
        break;
      case 'clock-jumps':
        world.jump(world.between(-JUMP_MS, JUMP_MS));
        break;
      case 'connection-breaks':
        this.network.cutOne();
        break;
      case 'coordinator-dies':
        broker.killCoordinator();
        break;
      case 'coordinator-dies-in-a-write':
        coordinator.dieIn = world.random(10);
        break;
    }
  }

  private killApplication(broker: BrokerProcess, apps: readonly EmbeddedApplication[]): void {
    const app = apps[this.world.random(apps.length)];
    const left = app.die();
    if (!left) return;
    broker.bury(left.seat);
    this.died(left);
    this.back.set(app, this.world.nowMs + this.world.random(BACK_SOON_MS));
  }
}
