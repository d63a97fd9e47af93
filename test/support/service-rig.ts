// Parts of the coordinator with their journal and mover, in the test's own thread, on a connection to a real broker: so
// that a test can kill them at any call of the disk, and set their clock. Stopped after the test.
import { afterEach } from 'vitest';
import { InProcessConnection } from '../../src/client/in-process.ts';
import { FileJournal } from '../../src/coordinator/journal-file.ts';
import { ConnectionMoveLog } from '../../src/coordinator/move-log.ts';
import { Mover } from '../../src/coordinator/mover.ts';
import type { CoordinatorContext, Service } from '../../src/coordinator/service.ts';
import type { Disk } from '../../src/log/disk.ts';
import type { Broker } from '../../src/server/broker.ts';
// Its brokers are stopped after the rigs that are connected to them: what is registered last runs first.
import './engine.ts';

const HOUSEKEEP_MS = 10;

export interface ServiceRigOptions {
  readonly durable?: boolean;
  readonly ahead?: number;
}

const running = new Set<ServiceRig>();

afterEach(async () => {
  for (const rig of [...running]) {
    running.delete(rig);
    await rig.stop();
  }
});

export class ServiceRig {
  readonly connection: InProcessConnection;
  readonly journal: FileJournal;
  readonly mover: Mover;
  readonly warnings: string[] = [];
  /** What housekeeping threw. */
  readonly errors: unknown[] = [];
  /** Milliseconds that the clock is ahead. */
  ahead: number;
  protected readonly context: CoordinatorContext;
  protected services: readonly Service[] = [];
  private heart: NodeJS.Timeout | undefined;

  constructor(broker: Broker, disk: Disk, { durable = false, ahead = 0 }: ServiceRigOptions = {}) {
    this.ahead = ahead;
    this.connection = new InProcessConnection(broker.attachment);
    const warn = (text: string): void => void this.warnings.push(text);
    this.connection.onError((error) => warn(error.message));
    this.journal = new FileJournal(disk);
    const { connection, journal } = this;
    this.context = { connection, journal, disk, durable, clock: () => this.now(), warn };
    this.mover = new Mover({
      journal,
      warn,
      publisher: (topic) => connection.fixedProducer(topic),
      log: new ConnectionMoveLog(connection),
      soon: (task) => void setImmediate(task),
    });
    running.add(this);
  }

  now(): number {
    return Date.now() + this.ahead;
  }

  /** Reads the journal and lets these begin. */
  protected begin(services: readonly Service[]): void {
    this.services = services;
    this.journal.replay(services.flatMap(({ part }) => part ?? []));
    for (const service of services) void service.start();
    this.heart = setInterval(() => {
      try {
        for (const service of services) service.housekeep(this.now());
        this.journal.compactIfLong();
      } catch (error) {
        this.errors.push(error);
      }
    }, HOUSEKEEP_MS);
  }

  /** An orderly stop. */
  async stop(): Promise<void> {
    await Promise.all(this.services.map(async (service) => service.stop()));
    await this.kill();
    this.journal.close();
  }

  /** As if the thread ended here: nothing more is written. */
  async kill(): Promise<void> {
    running.delete(this);
    clearInterval(this.heart);
    await this.connection.close();
  }
}
