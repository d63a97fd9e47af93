// The sessions of one connection. Producers, requests and most consumers share the first one. A delivery says its
// partition but not its subscription, so a second consumer of a topic gets a session of its own; and so does a consumer
// that has stopped while others share its window.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import type { ConnectionState } from './connection.ts';
import type { RingConsumer } from './consumer.ts';
import { Backoff, type ReconnectOptions } from './ws-backoff.ts';
import { Deliveries, type DeliveriesOptions } from './ws-deliveries.ts';
import { Link, type LinkOptions } from './ws-link.ts';
import type { Platform } from './ws-platform.ts';
import { WsSubscription } from './ws-subscription.ts';

export interface LinksOptions extends DeliveriesOptions {
  readonly link: LinkOptions;
  readonly reconnect: ReconnectOptions | false;
}

/** Hears of the first session what is not about subscriptions. */
export interface LinksHost {
  up(welcome: CommandOf<'welcome'>): void;
  lost(): void;
  command(command: Command): void;
  drained(): void;
  /** True if producers share the first session. */
  publishes(): boolean;
  changed(to: ConnectionState, code: CodeName, reason: string, retryInMs?: number): void;
  failed(error: Error): void;
}

/** Sessions besides the first one. */
const EXTRA_MAX = 64;

export class LinkPool {
  readonly first: Deliveries;
  private readonly platform: Platform;
  private readonly options: LinksOptions;
  private readonly host: LinksHost;
  private readonly extra = new Set<Deliveries>();
  /** Where a subscription lives. */
  private readonly homes = new Map<WsSubscription, Deliveries>();
  /** Where a moved subscription is read until its new session has begun. */
  private readonly leaving = new Map<WsSubscription, Deliveries>();
  private subscriptionId = 0;
  private closed = false;

  constructor(platform: Platform, options: LinksOptions, host: LinksHost) {
    this.platform = platform;
    this.options = options;
    this.host = host;
    this.first = this.open(true);
  }

  get link(): Link {
    return this.first.link;
  }

  reads(topic: string): boolean {
    for (const subscription of this.homes.keys()) if (subscription.topic === topic) return true;
    return false;
  }

  /** Subscribes for a consumer. */
  start(consumer: RingConsumer<unknown>): void {
    this.subscriptionId++;
    const subscription = new WsSubscription(this.subscriptionId, consumer);
    subscription.onUnpark = () => this.homes.get(subscription)?.unpark(subscription);
    consumer.source = { wanted: subscription.wanted, close: async () => this.stop(subscription) };
    const home = [this.first, ...this.extra].find((one) => !one.reads(consumer.topic)) ?? this.openExtra();
    if (!home) {
      consumer.refuse(
        new RingmqError('subscription-quota', `more than ${EXTRA_MAX} consumers of topic ${consumer.topic}`),
      );
      return;
    }
    this.homes.set(subscription, home);
    home.add(subscription);
  }

  /** The topic was deleted: its consumers end. */
  deleted(topic: string): void {
    for (const subscription of [...this.homes.keys()]) {
      if (subscription.topic !== topic) continue;
      subscription.consumer.refuse(new RingmqError('unknown-topic', `topic ${topic} was deleted`));
      this.stop(subscription);
    }
  }

  close(code: CodeName, reason: string): void {
    if (this.closed) return;
    this.closed = true;
    for (const subscription of [...this.homes.keys()]) subscription.consumer.ended();
    this.homes.clear();
    for (const one of [...this.extra]) one.link.close(code, reason);
    this.extra.clear();
    this.first.link.close(code, reason);
  }

  private stop(subscription: WsSubscription): void {
    const home = this.homes.get(subscription);
    this.homes.delete(subscription);
    subscription.drop();
    this.leave(subscription);
    if (!home) return;
    home.remove(subscription);
    this.closeIfIdle(home);
  }

  /** The session that a moved subscription came from. */
  private leave(subscription: WsSubscription): void {
    const old = this.leaving.get(subscription);
    if (!old) return;
    this.leaving.delete(subscription);
    old.remove(subscription);
    this.closeIfIdle(old);
  }

  /**
   * Gives a stopped consumer a session of its own (if it shares one), which begins behind everything that has arrived.
   * Both sessions are read until the new one has begun: what comes twice is skipped by its offset, and nothing falls in
   * between.
   */
  private move(subscription: WsSubscription): void {
    const old = this.homes.get(subscription);
    if (!old || this.leaving.has(subscription)) return;
    const isAlone = old.count < 2 && !(old === this.first && this.host.publishes());
    if (isAlone) return;
    const home = this.openExtra();
    if (!home) return;
    subscription.moving = true;
    this.leaving.set(subscription, old);
    this.homes.set(subscription, home);
    home.add(subscription);
  }

  private openExtra(): Deliveries | undefined {
    if (this.extra.size >= EXTRA_MAX || this.closed) return undefined;
    const one = this.open(false);
    this.extra.add(one);
    return one;
  }

  private closeIfIdle(one: Deliveries): void {
    if (one === this.first || one.count > 0) return;
    this.extra.delete(one);
    one.link.close();
  }

  private open(first: boolean): Deliveries {
    const { host } = this;
    const backoff = new Backoff(this.options.reconnect);
    const deliveries: Deliveries = new Deliveries(
      new Link(this.platform, this.options.link, backoff, {
        up: (welcome) => {
          if (first) host.up(welcome);
          deliveries.up();
        },
        lost: () => {
          deliveries.lost();
          if (first) host.lost();
        },
        command: (command) => {
          if (!deliveries.command(command) && first) host.command(command);
        },
        batches: (bytes) => deliveries.take(bytes),
        drained: () => {
          if (first) host.drained();
        },
        changed: (to, code, reason, retryInMs) => {
          if (first) host.changed(to, code, reason, retryInMs);
          else if (to === 'closed' && !this.closed) this.gaveUp(deliveries, code, reason);
        },
        failed: (error) => host.failed(error),
      }),
      this.options,
      {
        crowded: (subscription) => this.move(subscription),
        started: (subscription) => {
          if (deliveries === this.homes.get(subscription)) this.moved(subscription);
        },
      },
    );
    return deliveries;
  }

  private moved(subscription: WsSubscription): void {
    if (!this.leaving.has(subscription)) return;
    subscription.moving = false;
    subscription.disown();
    this.leave(subscription);
  }

  /** A session besides the first one ended for good: so do its consumers. */
  private gaveUp(one: Deliveries, code: CodeName, reason: string): void {
    if (!this.extra.delete(one)) return;
    for (const subscription of one.all()) {
      this.homes.delete(subscription);
      subscription.consumer.refuse(new RingmqError(code, reason));
    }
  }
}
