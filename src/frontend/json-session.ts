// A session of `ringmq.json.v1`: one JSON object in each text frame, readable, for ten lines of script.
import { CODES, type CodeName, codeName, RingmqError } from '../base/codes.ts';
import { isTopicName } from '../base/units.ts';
import { COUNTER } from '../memory/counters.ts';
import type { CommandOf, PartitionStart, TopicRoute } from '../wire/commands.ts';
import { CommandError } from '../wire/frame.ts';
import { type JsonCommand, type JsonMessage, parseJsonCommand } from '../wire/json.ts';
import { jsonAck, jsonError, jsonGap, jsonRouteChanged, jsonSubscribed } from '../wire/json-replies.ts';
import { MALFORMED_MAX, PUBLISH_WINDOW_BYTES } from './config.ts';
import type { Cursor } from './cursor.ts';
import type { JsonCommands } from './json-commands.ts';
import { textsOf } from './json-texts.ts';
import { areForLater } from './later-messages.ts';
import { defaultAck } from './message-batches.ts';
import { refusalOf } from './refusal.ts';
import { Session, type SessionHost } from './session.ts';
import type { Span, SpanText } from './span.ts';
import type { Subscription } from './subscription.ts';
import { DROPPED, SENT, type SendOutcome, type Socket } from './transport/transport.ts';

type Publish = Extract<JsonCommand, { op: 'publish' }>;

/** What a batch without an answer belongs to. */
interface Published {
  readonly id: number;
  readonly topic: string;
  /** Number of the partition in its topic. */
  readonly number: number;
}

/** Publishes that wait for the route of their topic. */
const BACKLOG_MAX = 1_024;
const OK = CODES.ok.number;

export class JsonSession extends Session {
  private readonly commands: JsonCommands;
  private acks: string[] = [];
  private malformed = 0;
  private request = 0;
  /** Batches without an answer, by request number. */
  private readonly published = new Map<number, Published>();
  /** Publishes in order, while a route is asked for. */
  private backlog: Publish[] = [];
  private backlogBytes = 0;
  private fetching = false;

  constructor(host: SessionHost, socket: Socket, id: string, commands: JsonCommands) {
    super(host, socket, id);
    this.commands = commands;
  }

  message(data: Uint8Array, binary: boolean): void {
    if (binary) {
      this.close('protocol-error', 'frames of this subprotocol are text');
      return;
    }
    let id = 0;
    try {
      const command = parseJsonCommand(data);
      ({ id } = command);
      if ('topic' in command && !isTopicName(command.topic)) throw new RingmqError('illegal-topic');
      if (command.op === 'publish') this.publish(command);
      else this.commands.execute(this, command);
    } catch (error) {
      if (error instanceof CommandError) this.unreadable(error);
      else this.refuseWith(id, error);
    }
  }

  answered(request: number, status: number, _partition: number, count: number, baseOffset: number): void {
    const one = this.published.get(request);
    if (!one) return;
    this.published.delete(request);
    if (status !== OK) {
      this.commands.failed(one.topic, status);
      this.sayLater(jsonError(one.id, codeName(status)));
    } else if (one.id !== 0) this.sayLater(jsonAck(one.id, one.number, baseOffset, count));
  }

  sendAcks(): void {
    const acks = this.acks;
    this.acks = [];
    if (acks.length === 1) this.send(acks[0]);
    else this.sendAll(acks);
  }

  deliver(span: Span, cursor: Cursor): boolean {
    const texts = span.messageTexts(textsOf);
    const first = texts.findIndex((one) => one.offset >= cursor.start);
    if (first < 0) return true;
    const next = this.sendTexts(texts, first);
    if (next === texts.length) return true;
    cursor.start = texts[next].offset;
    return false;
  }

  sayGap(gap: CommandOf<'gap'>): void {
    this.send(jsonGap(gap));
  }

  saySubscribed(correlation: number, subscription: Subscription, starts: readonly PartitionStart[]): void {
    this.send(jsonSubscribed(correlation, subscription.topic, starts));
  }

  sayRouteChanged({ topic, version, deleted }: CommandOf<'route-changed'>): void {
    this.send(jsonRouteChanged(topic, version, deleted));
  }

  refuse(id: number, code: CodeName, text: string): void {
    this.host.counters.add(COUNTER.refusals, 1);
    this.send(jsonError(id, code, text));
  }

  /** Sends one text frame. */
  say(text: string): void {
    this.send(text);
  }

  private refuseWith(id: number, error: unknown): void {
    const { code, message } = refusalOf(error);
    this.refuse(id, code, message);
  }

  private unreadable(error: CommandError): void {
    this.host.counters.add(COUNTER.protocolErrors, 1);
    this.refuse(error.correlation, error.code, error.message);
    if (++this.malformed > MALFORMED_MAX) this.close('protocol-error', error.message);
  }

  private publish(command: Publish): void {
    if (areForLater(command.messages)) {
      this.commands.schedule(this, command);
      return;
    }
    const route = this.fetching ? undefined : this.commands.routeOf(command.topic);
    if (route) this.publishTo(route, command);
    else this.publishLater(command);
  }

  private publishTo(route: TopicRoute, command: Publish): void {
    const { id, topic, messages, ack = defaultAck(route) } = command;
    const batches = this.commands.buildBatches(route, messages, ack, this.nextRequest);
    if (ack !== 'none') {
      for (const { request, partition } of batches)
        this.published.set(request, { id, topic, number: partition.number });
    }
    this.commands.submit(this, batches);
  }

  private readonly nextRequest = (): number => {
    this.request = (this.request + 1) & 0x3fff_ffff;
    return this.request;
  };

  /** The topic's route must be asked for: this and what comes behind it waits. */
  private publishLater(command: Publish): void {
    const length = bytesOf(command.messages);
    if (this.backlog.length >= BACKLOG_MAX || this.backlogBytes + length > PUBLISH_WINDOW_BYTES) {
      throw new RingmqError('window-exceeded');
    }
    this.backlog.push(command);
    this.backlogBytes += length;
    if (!this.fetching) void this.publishBacklog();
  }

  private async publishBacklog(): Promise<void> {
    this.fetching = true;
    for (let at = 0; at < this.backlog.length && !this.closed; at++) {
      const command = this.backlog[at];
      try {
        const route = await this.commands.fetchRoute(command.topic);
        this.publishTo(route, command);
      } catch (error) {
        this.refuseWith(command.id, error);
      }
      this.backlogBytes -= bytesOf(command.messages);
    }
    this.backlog = [];
    this.backlogBytes = 0;
    this.fetching = false;
  }

  private sayLater(text: string): void {
    if (this.acks.length === 0) this.host.acksDue(this);
    this.acks.push(text);
  }

  private sendAll(texts: readonly string[]): void {
    this.socket.cork(() => {
      for (const text of texts) this.send(text);
    });
    if (this.socket.bufferedBytes() > 0) this.beCongested();
  }

  /**
   * Sends messages from index `first` on as long as the socket takes them. Returns the index of the first left over.
   */
  private sendTexts(texts: readonly SpanText[], first: number): number {
    let at = first;
    let outcome: SendOutcome = SENT;
    this.socket.cork(() => {
      while (at < texts.length && outcome === SENT) {
        outcome = this.socket.send(texts[at].text);
        if (outcome !== DROPPED) this.deliveredBytes += texts[at++].text.length;
      }
    });
    if (outcome !== SENT) this.note(outcome);
    else if (this.socket.bufferedBytes() > 0) this.beCongested();
    return at;
  }
}

function bytesOf(messages: readonly JsonMessage[]): number {
  return messages.reduce((sum, message) => sum + message.body.length, 0);
}
