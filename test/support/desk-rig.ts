// Transactions, retries and timers with their journal and mover, in the test's own thread, on a connection to a real
// broker: so that a test can kill them at any call of the disk, and set their clock.
import { HalfSender } from '../../src/client/half-sender.ts';
import { InProcessConnection } from '../../src/client/in-process.ts';
import type { TransactionOptions } from '../../src/client/messaging.ts';
import { CallTransactionalProducer } from '../../src/client/transactional-producer.ts';
import { GroupBook } from '../../src/coordinator/group-book.ts';
import { GroupDesk } from '../../src/coordinator/group-desk.ts';
import { FileJournal } from '../../src/coordinator/journal-file.ts';
import { ConnectionMoveLog } from '../../src/coordinator/move-log.ts';
import { Mover } from '../../src/coordinator/mover.ts';
import { RetryDesk } from '../../src/coordinator/retry-desk.ts';
import type { Caller, Handlers, Service } from '../../src/coordinator/service.ts';
import { TimerDesk } from '../../src/coordinator/timer-desk.ts';
import { ConnectionTopics } from '../../src/coordinator/topic-source.ts';
import { TransactionDesk } from '../../src/coordinator/transaction-desk.ts';
import type { Disk } from '../../src/log/disk.ts';
import type { Broker } from '../../src/server/broker.ts';
import type { CheckRules } from '../../src/transaction/half-table.ts';
import type { Call, CallOptions, Method, ParamsOf } from '../../src/wire/services.ts';

const HOUSEKEEP_MS = 10;

export interface RigOptions {
  readonly durable?: boolean;
  readonly ahead?: number;
  readonly rules?: CheckRules;
}

export class DeskRig {
  readonly connection: InProcessConnection;
  readonly journal: FileJournal;
  readonly mover: Mover;
  readonly book: GroupBook;
  readonly retries: RetryDesk;
  readonly transactions: TransactionDesk;
  readonly warnings: string[] = [];
  /** What housekeeping threw. */
  readonly errors: unknown[] = [];
  /** Milliseconds that the clock is ahead. */
  ahead: number;
  private readonly durable: boolean;
  private readonly services: readonly Service[];
  private readonly heart: NodeJS.Timeout;
  private readonly producers: CallTransactionalProducer<string>[] = [];

  constructor(broker: Broker, disk: Disk, { durable = false, ahead = 0, rules }: RigOptions = {}) {
    this.ahead = ahead;
    this.durable = durable;
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
    const context = { connection, journal, disk, durable, clock: () => this.now(), warn };
    this.book = new GroupBook(new ConnectionTopics(connection), journal, warn);
    const timers = new TimerDesk(context, this.mover);
    this.retries = new RetryDesk(context, this.book, this.mover, timers);
    this.transactions = new TransactionDesk(context, this.mover, rules);
    const groups = new GroupDesk(this.book, {
      leased: () => 0,
      deadLetters: (group) => this.retries.deadLetters(group),
    });
    this.services = [groups, this.retries, this.transactions, timers, this.mover];
    journal.replay(this.services.flatMap(({ part }) => part ?? []));
    for (const service of this.services) void service.start();
    this.heart = setInterval(() => {
      try {
        for (const service of this.services) service.housekeep(this.now());
        journal.compactIfLong();
      } catch (error) {
        this.errors.push(error);
      }
    }, HOUSEKEEP_MS);
  }

  now(): number {
    return Date.now() + this.ahead;
  }

  /** As clients ask. */
  readonly call: Call = <M extends Method>(method: M, params: ParamsOf<M>, options: CallOptions = {}) =>
    this.callFrom({ seat: 9 }, method, params, options);

  async callFrom<M extends Method>(caller: Caller, method: M, params: ParamsOf<M>, options: CallOptions = {}) {
    for (const { handlers } of this.services) {
      const handler = (handlers as Handlers)[method];
      if (handler === undefined) continue;
      const { result, payload = new Uint8Array(0) } = await handler(
        params,
        options.payload ?? new Uint8Array(0),
        caller,
      );
      return { result, payload };
    }
    throw new Error(`no service has ${method}`);
  }

  transactional(topic: string, options: TransactionOptions<string>, seat = 9): CallTransactionalProducer<string> {
    const producer = new CallTransactionalProducer<string>(topic, options, {
      call: (method, params, how) => this.callFrom({ seat }, method, params, how),
      route: (name) => this.connection.route(name),
      failed: (error) => void this.warnings.push(error.message),
      halves: this.durable ? new HalfSender(this.connection, topic, options.group) : undefined,
      closed: () => {},
    });
    this.producers.push(producer);
    return producer;
  }

  seatLeft(seat: number): void {
    for (const service of this.services) service.seatLeft?.(seat);
  }

  /** An orderly stop. */
  async stop(): Promise<void> {
    await Promise.all(this.services.map(async (service) => service.stop()));
    await this.kill();
    this.journal.close();
  }

  /** As if the thread ended here: nothing more is written. */
  async kill(): Promise<void> {
    clearInterval(this.heart);
    for (const producer of this.producers) void producer.close();
    await this.connection.close();
  }
}
