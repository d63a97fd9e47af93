// Transactions, retries and timers in the test's own thread.
import { HalfSender } from '../../src/client/half-sender.ts';
import type { TransactionOptions } from '../../src/client/messaging.ts';
import { CallTransactionalProducer } from '../../src/client/transactional-producer.ts';
import { GroupBook } from '../../src/coordinator/group-book.ts';
import { GroupDesk } from '../../src/coordinator/group-desk.ts';
import { RetryDesk } from '../../src/coordinator/retry-desk.ts';
import type { Caller, Handlers } from '../../src/coordinator/service.ts';
import { TimerDesk } from '../../src/coordinator/timer-desk.ts';
import { ConnectionTopics } from '../../src/coordinator/topic-source.ts';
import { TransactionDesk } from '../../src/coordinator/transaction-desk.ts';
import type { Disk } from '../../src/log/disk.ts';
import { MemoryDisk } from '../../src/log/disk-memory.ts';
import type { Broker } from '../../src/server/broker.ts';
import type { CheckRules } from '../../src/transaction/half-table.ts';
import type { Call, CallOptions, Method, ParamsOf } from '../../src/wire/services.ts';
import { ServiceRig, type ServiceRigOptions } from './service-rig.ts';

export interface RigOptions extends ServiceRigOptions {
  readonly rules?: CheckRules;
}

export class DeskRig extends ServiceRig {
  readonly book: GroupBook;
  readonly retries: RetryDesk;
  readonly transactions: TransactionDesk;
  private readonly producers: CallTransactionalProducer<string>[] = [];

  constructor(broker: Broker, disk: Disk = new MemoryDisk(), { rules, ...options }: RigOptions = {}) {
    super(broker, disk, options);
    const { connection, context, journal, mover } = this;
    this.book = new GroupBook(new ConnectionTopics(connection), journal, context.warn);
    const timers = new TimerDesk(context, mover);
    this.retries = new RetryDesk(context, this.book, mover, timers);
    this.transactions = new TransactionDesk(context, mover, rules);
    const groups = new GroupDesk(this.book, {
      leased: () => 0,
      deadLetters: (group) => this.retries.deadLetters(group),
    });
    this.begin([groups, this.retries, this.transactions, timers, mover]);
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
      halves: this.context.durable ? new HalfSender(this.connection, topic, options.group) : undefined,
      closed: () => {},
    });
    this.producers.push(producer);
    return producer;
  }

  seatLeft(seat: number): void {
    for (const service of this.services) service.seatLeft?.(seat);
  }

  override async kill(): Promise<void> {
    for (const producer of this.producers) void producer.close();
    await super.kill();
  }
}
