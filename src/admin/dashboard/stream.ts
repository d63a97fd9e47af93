// One subscription of this page. It passes records on, and keeps account of what arrives after a lost connection, so
// that the page can say what was missed: see ResumeAccount.
import type { Consumer, Gap } from '../../client/connection.ts';
import type { Batch } from '../../client/message.ts';
import type { WsConnection } from '../../client/ws-connection.ts';
import type { StartFrom } from '../../wire/commands.ts';
import { ResumeAccount, type ResumeResult } from './resume.ts';

export interface StreamHandlers {
  /** For every message; the batch stands at it. HOT */
  record(batch: Batch): void;
  gap(gap: Gap): void;
  /** The subscription could not be made, or has ended: there will be no more messages. */
  ended(error: Error): void;
  failed(error: Error): void;
}

export class Stream {
  readonly topic: string;
  private readonly connection: WsConnection;
  private readonly handlers: StreamHandlers;
  private readonly consumer: Consumer & { readonly closed: boolean };
  private account: ResumeAccount | undefined;
  private done: (result: ResumeResult | undefined) => void = () => {};

  constructor(connection: WsConnection, topic: string, from: StartFrom, handlers: StreamHandlers) {
    this.topic = topic;
    this.connection = connection;
    this.handlers = handlers;
    const consumer = connection.consumer(topic, {
      from,
      onBatch: (batch) => this.take(batch),
      onGap: (gap) => this.gap(gap),
      onError: (error) => (consumer.closed ? handlers.ended(error) : handlers.failed(error)),
    });
    this.consumer = consumer;
  }

  /** Resolves when the subscription stands. */
  async ready(): Promise<void> {
    await this.consumer.ready();
  }

  /** The connection was lost: from here on it counts. A second loss goes on with the account of the first. */
  lost(): void {
    this.account ??= new ResumeAccount(this.topic, this.consumer.positions());
  }

  /**
   * The connection is back. Resolves when everything that was published until now is accounted for; undefined if the
   * stream was closed or the connection lost once more before that.
   */
  async back(): Promise<ResumeResult | undefined> {
    const { account } = this;
    if (!account) return undefined;
    this.done(undefined);
    const finished = new Promise<ResumeResult | undefined>((resolve) => {
      this.done = resolve;
    });
    const route = await this.connection.route(this.topic);
    account.back(route.partitions);
    this.settle();
    return finished;
  }

  async close(): Promise<void> {
    this.account = undefined;
    this.done(undefined);
    await this.consumer.close();
  }

  /** HOT */
  private take(batch: Batch): void {
    const { account, handlers } = this;
    while (batch.next()) {
      account?.delivered(batch.partition, batch.epoch, batch.offset);
      // One message that cannot be read must not hide the rest of the batch.
      try {
        handlers.record(batch);
      } catch (error) {
        handlers.failed(error as Error);
      }
    }
    if (account) this.settle();
  }

  private gap(gap: Gap): void {
    this.account?.gap(gap.partition, gap.to);
    this.handlers.gap(gap);
    this.settle();
  }

  private settle(): void {
    const result = this.account?.result();
    if (result === undefined) return;
    this.account = undefined;
    this.done(result);
  }
}
