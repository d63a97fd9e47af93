// The messages of one topic, as they come. Every message is counted; how many are shown is limited, so that a million a
// second do not freeze the page, and what is left out is said.
import type { Gap } from '../../client/connection.ts';
import type { Batch } from '../../client/message.ts';
import type { WsConnection } from '../../client/ws-connection.ts';
import type { StartFrom } from '../../wire/commands.ts';
import { KEPT_BYTES_MAX } from './body-preview.ts';
import { byId, setText } from './elements.ts';
import { FeedList, ROWS_MAX } from './feed-list.ts';
import { count, plural } from './format.ts';
import type { Notices } from './notices.ts';
import { Sampler } from './sampler.ts';
import { Stream } from './stream.ts';

/** A message as the list keeps it. */
export interface FeedMessage {
  readonly partition: number;
  readonly offset: number;
  readonly storedAt: number;
  readonly key: string | undefined;
  readonly tag: string | undefined;
  readonly properties: Readonly<Record<string, string>> | undefined;
  /** The first bytes. */
  readonly kept: Uint8Array;
  readonly lengthBytes: number;
}

const TICK_MS = 1_000;

export class Feed {
  stream: Stream | undefined;
  private readonly connection: WsConnection;
  private readonly notices: Notices;
  private readonly list = new FeedList();
  private readonly status = byId('feed-status');
  private readonly pauseButton = byId<HTMLButtonElement>('feed-pause');
  private readonly fromChoice = byId<HTMLSelectElement>('feed-from');
  private waiting: FeedMessage[] = [];
  private sampler = new Sampler();
  private standing = false;
  private paused = false;
  private drawing = false;

  constructor(connection: WsConnection, notices: Notices) {
    this.connection = connection;
    this.notices = notices;
    this.pauseButton.addEventListener('click', () => this.pause(!this.paused));
    this.fromChoice.addEventListener('change', () => this.stream && this.open(this.stream.topic));
    byId('feed-clear').addEventListener('click', () => this.list.clear());
    setInterval(() => this.tick(), TICK_MS);
  }

  /** Name of the topic that is shown. */
  get topic(): string | undefined {
    return this.stream?.topic;
  }

  /** Shows another topic, or the same one from the beginning. */
  open(topic: string): void {
    const { notices } = this;
    this.stream?.close().catch((error: unknown) => notices.show('closing a subscription', error));
    this.reset();
    setText(byId('feed-topic'), topic);
    const stream: Stream = new Stream(this.connection, topic, startOf(this.fromChoice.value), {
      record: (batch) => this.take(batch),
      gap: (gap) => this.gap(gap),
      ended: (error) => this.ended(stream, error),
      failed: (error) => notices.show(`reading ${topic}`, error),
    });
    this.stream = stream;
    this.standing = false;
    this.say();
    stream.ready().then(
      () => this.stands(stream),
      (error: unknown) => this.ended(stream, error),
    );
  }

  private stands(stream: Stream): void {
    if (stream !== this.stream) return;
    this.standing = true;
    this.say();
  }

  private reset(): void {
    this.list.clear();
    this.waiting = [];
    this.sampler = new Sampler();
    this.pause(false);
  }

  /** HOT */
  private take(batch: Batch): void {
    if (this.paused) {
      this.sampler.skip();
      return;
    }
    if (!this.sampler.count()) return;
    const { partition, offset, storedAt, key, tag, properties, bodyLength: lengthBytes } = batch;
    const kept = batch.body.slice(0, KEPT_BYTES_MAX);
    // While the tab is hidden nothing is drawn.
    if (this.waiting.length >= ROWS_MAX) this.waiting.shift();
    this.waiting.push({ partition, offset, storedAt, key, tag, properties, kept, lengthBytes });
    this.draw();
  }

  private draw(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.list.add(this.waiting);
      this.waiting = [];
    });
  }

  private gap({ partition, from, to, reason }: Gap): void {
    const lost = `${plural(to - from, 'message')} of partition ${partition} lost to this page`;
    const begins = `partition ${partition} begins at offset ${to} now (${reason})`;
    this.list.note(to > from ? `${lost}: offsets ${from} to ${to - 1} are gone (${reason})` : begins, 'gap');
  }

  private ended(stream: Stream, error: unknown): void {
    if (stream !== this.stream) return;
    this.standing = false;
    this.say();
    this.notices.show(`reading ${stream.topic}`, error);
    this.list.note('No more messages: the subscription has ended.', 'gap');
  }

  private pause(on: boolean): void {
    this.paused = on;
    this.pauseButton.setAttribute('aria-pressed', String(on));
    setText(this.pauseButton, on ? 'Resume' : 'Pause');
    this.say();
  }

  private tick(): void {
    this.sampler.tick(performance.now());
    this.say();
  }

  private say(): void {
    if (!this.stream) return;
    const { received, perSecond, oneOf } = this.sampler;
    const parts = [this.standing ? plural(received, 'message') : 'not subscribed'];
    if (perSecond !== undefined) parts.push(`${count(perSecond)}/s`);
    if (this.paused) parts.push('paused');
    else if (oneOf > 1) parts.push(`showing 1 of every ${count(oneOf)}`);
    setText(this.status, parts.join(' · '));
  }
}

function startOf(choice: string): StartFrom {
  const last = Number(choice);
  return last > 0 ? { last } : 'latest';
}
