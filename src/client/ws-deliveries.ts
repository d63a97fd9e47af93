// What one session delivers: its subscriptions, which partition belongs to which of them, and the credit that keeps the
// broker from sending more than the window.
//
// The window is one for the whole session. A consumer that has stopped keeps its share of it; when the stopped ones
// hold half of it, the one that holds most moves to a session of its own (see LinkPool), so that nobody waits for it.
import type { RingmqError } from '../base/codes.ts';
import { BatchView } from '../record/batch-view.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import { DeliveredFrame } from './ws-frame.ts';
import type { Link } from './ws-link.ts';
import type { CreditOwner, WsSubscription } from './ws-subscription.ts';

export interface DeliveriesOptions {
  readonly windowBytes: number;
  readonly verifyChecksums: boolean;
}

export interface DeliveriesHost {
  /** Stopped consumers hold half of the window: give this one a session of its own. */
  crowded(subscription: WsSubscription): void;
  /** The broker has said where the subscription starts. */
  started(subscription: WsSubscription): void;
}

/** Credit smaller than a quarter of the window is gathered for this long. */
const CREDIT_DELAY_MS = 20;
const RETRY_MS = 500;
/** The broker may have to open rings first, and asking again would be asking twice. */
const SUBSCRIBE_MS = 60_000;

export class Deliveries implements CreditOwner {
  readonly link: Link;
  private readonly options: DeliveriesOptions;
  private readonly host: DeliveriesHost;
  private readonly subscriptions = new Map<number, WsSubscription>();
  private readonly byPartition = new Map<number, WsSubscription>();
  private readonly frame = new DeliveredFrame();
  private readonly view = new BatchView();
  /** Counts the sessions that were lost. */
  private sessions = 0;
  private heldBytes = 0;
  private creditBytes = 0;
  private creditTimer: ReturnType<typeof setTimeout> | undefined;
  private lastPartition = -1;
  private lastSubscription: WsSubscription | undefined;

  constructor(link: Link, options: DeliveriesOptions, host: DeliveriesHost) {
    this.link = link;
    this.options = options;
    this.host = host;
  }

  get count(): number {
    return this.subscriptions.size;
  }

  reads(topic: string): boolean {
    for (const one of this.subscriptions.values()) if (one.topic === topic) return true;
    return false;
  }

  all(): readonly WsSubscription[] {
    return [...this.subscriptions.values()];
  }

  add(subscription: WsSubscription): void {
    this.subscriptions.set(subscription.id, subscription);
    if (this.link.isUp) this.subscribe(subscription);
  }

  /** Ends a subscription here. */
  remove(subscription: WsSubscription): void {
    if (!this.subscriptions.delete(subscription.id)) return;
    this.forgetPartitions(subscription);
    // With an answer, because it may be gone already (the topic was deleted, or it is parked): then there is no news.
    if (this.link.isUp) this.link.requests.call({ type: 'unsubscribe', subscription: subscription.id }, ignore, ignore);
  }

  /**
   * A session stands: everything is subscribed again, where it was. A consumer that has stopped is left for later: it
   * may be why the broker closed the session before (`too-slow`).
   */
  up(): void {
    for (const subscription of this.subscriptions.values()) {
      const { begun, moving, consumer } = subscription;
      subscription.parked = begun && !moving && consumer.full;
      if (!subscription.parked) this.subscribe(subscription);
    }
  }

  /** The consumer of a parked subscription wants to go on. */
  unpark(subscription: WsSubscription): void {
    if (!subscription.parked || !this.link.isUp) return;
    subscription.parked = false;
    this.subscribe(subscription);
  }

  /** The session is gone, and its window with it. */
  lost(): void {
    this.sessions++;
    clearTimeout(this.creditTimer);
    this.creditTimer = undefined;
    this.byPartition.clear();
    this.forgetLast();
    for (const subscription of this.subscriptions.values()) subscription.drop();
    this.creditBytes = 0;
    this.heldBytes = 0;
  }

  /** One frame of batches. True if some of them are held: the memory is kept. HOT */
  take(bytes: Uint8Array): boolean {
    const { view } = this;
    const frame = this.frame.take(bytes);
    frame.check(this.options.verifyChecksums);
    view.span(frame.bytes, frame.words, 0, frame.length);
    let held = 0;
    while (view.next()) {
      const subscription = this.subscriptionOf(view.partition);
      // Batches of a subscription that has just ended count as consumed.
      if (subscription !== undefined && subscription.deliver(view, this) === 0) held += view.size;
    }
    if (held > 0) this.hold(held);
    this.credit(frame.length - held);
    return held > 0;
  }

  /** Held bytes were handed on. */
  consumed(lengthBytes: number): void {
    this.heldBytes -= lengthBytes;
    this.credit(lengthBytes);
  }

  /** Commands about subscriptions; false for others. */
  command(command: Command): boolean {
    if (command.type === 'subscribed') this.subscribed(command);
    else if (command.type === 'gap') this.subscriptionOf(command.id)?.gap(command);
    else return false;
    return true;
  }

  private subscribe(subscription: WsSubscription): void {
    const { topic, options, filterText: filter } = subscription.consumer;
    const command: Command = {
      type: 'subscribe',
      subscription: subscription.id,
      topic,
      from: subscription.from(),
      partitions: options.partitions ?? [],
      windowBytes: this.options.windowBytes,
      filter,
    };
    const answer = (reply: Command): void => {
      if (reply.type === 'subscribed') this.subscribed(reply);
    };
    try {
      const refused = (error: RingmqError): void => this.refused(subscription, error);
      this.link.requests.call(command, answer, refused, { timeoutMs: SUBSCRIBE_MS });
    } catch (error) {
      this.refused(subscription, error as RingmqError);
    }
  }

  private subscribed(command: CommandOf<'subscribed'>): void {
    const subscription = this.subscriptions.get(command.subscription);
    if (!subscription) return;
    this.forgetLast();
    subscription.consumer.topicId = command.topicId;
    for (const start of command.starts) this.byPartition.set(start.id, subscription);
    subscription.started(command.starts);
    this.host.started(subscription);
  }

  private refused(subscription: WsSubscription, error: RingmqError): void {
    // A lost session subscribes again when the next one stands.
    if (error.code === 'connection-lost' || !this.subscriptions.has(subscription.id)) return;
    // A broker that shuts down refuses as well, before it ends the session: the next one's is another life of it.
    if (error.advice === 'retry' || error.advice === 'reconnect' || error.code === 'route-stale') {
      const { sessions } = this;
      setTimeout(() => {
        // The next session has subscribed by itself.
        if (sessions !== this.sessions) return;
        if (this.subscriptions.has(subscription.id) && this.link.isUp) this.subscribe(subscription);
      }, RETRY_MS);
      return;
    }
    this.subscriptions.delete(subscription.id);
    this.forgetPartitions(subscription);
    subscription.consumer.refuse(error);
    this.host.started(subscription);
  }

  private subscriptionOf(partition: number): WsSubscription | undefined {
    if (partition === this.lastPartition) return this.lastSubscription;
    this.lastPartition = partition;
    this.lastSubscription = this.byPartition.get(partition);
    return this.lastSubscription;
  }

  private forgetPartitions(subscription: WsSubscription): void {
    for (const [id, owner] of this.byPartition) if (owner === subscription) this.byPartition.delete(id);
    this.forgetLast();
  }

  private forgetLast(): void {
    this.lastPartition = -1;
    this.lastSubscription = undefined;
  }

  private hold(lengthBytes: number): void {
    this.heldBytes += lengthBytes;
    if (this.heldBytes * 2 < this.options.windowBytes) return;
    let most: WsSubscription | undefined;
    for (const one of this.subscriptions.values()) if (one.heldBytes > (most?.heldBytes ?? 0)) most = one;
    if (most) this.host.crowded(most);
  }

  /** Gives bytes back, a quarter of the window at a time or after a moment. */
  private credit(lengthBytes: number): void {
    this.creditBytes += lengthBytes;
    if (this.creditBytes * 4 >= this.options.windowBytes) this.sendCredit();
    else if (this.creditBytes > 0) this.creditTimer ??= setTimeout(this.sendCredit, CREDIT_DELAY_MS);
  }

  private readonly sendCredit = (): void => {
    clearTimeout(this.creditTimer);
    this.creditTimer = undefined;
    const bytes = this.creditBytes;
    this.creditBytes = 0;
    if (bytes > 0) this.link.trySay({ type: 'credit', bytes });
  };
}

function ignore(): void {}
