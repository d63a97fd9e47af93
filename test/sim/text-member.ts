// Members of groups without ringmq's library, who say by hand what it says: over the readable protocol and over HTTP. A
// simple consumer leases and settles; a push one syncs, pulls what it is assigned, and commits. They stand beside
// members with the library, in the same groups.
import { RingmqError } from '../../src/base/codes.ts';
import { filterText } from '../../src/filter/filter.ts';
import { isRetryTopic, PROPERTY } from '../../src/wire/services.ts';
import { nameOf } from '../../torture/message.ts';
import { noteAnswer } from './group-answers.ts';
import type { Delivery, GroupBook } from './group-books.ts';
import { AGAIN_MS, BACK_MAX_MS, RETRY_DELAYS_MS } from './reader-roles.ts';
import { Role, type RoleContext } from './roles.ts';
import { bodyOfText, type Speaker, type TextCalled, type TextMessage } from './speakers.ts';

/** Opens its way to the broker; `lost` hears that what was asked on it is lost. */
export type OpenSpeaker = (lost: () => void) => Speaker;

const LEAVE_ROUNDS = 60;

export abstract class TextMember extends Role {
  protected readonly group: GroupBook;
  protected member = '';
  protected speaker!: Speaker;
  private readonly openSpeaker: OpenSpeaker;

  constructor(context: RoleContext, group: GroupBook, openSpeaker: OpenSpeaker) {
    super(context);
    this.group = group;
    this.openSpeaker = openSpeaker;
  }

  /** A process of its own: it lives as long as the run. */
  protected started(): void {
    this.speaker = this.openSpeaker(() => this.lost());
    void this.live();
  }

  turn(): void {}

  /** What was asked last is not answered any more. */
  protected lost(): void {}

  /** From its beginning in the group to its end. */
  protected abstract play(): Promise<void>;

  protected get identity() {
    const { group, member } = this;
    return { group: group.name, topic: this.context.books.topic, member };
  }

  /** What its members agree on. */
  protected get terms() {
    const { order, filter } = this.group.rules;
    return { ...this.identity, from: 'earliest', order, filter: filterText(filter?.filter) };
  }

  protected get leavesNow(): boolean {
    const { world } = this.context;
    if (this.group.away) return true;
    return !this.quiet && world.random(LEAVE_ROUNDS) === 0;
  }

  protected sleep(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  /** What the answer says goes into the books. */
  protected async ask(method: string, params: object): Promise<TextCalled> {
    const asked = this.context.books.now;
    const answer = await this.speaker.call(method, params);
    noteAnswer(this.group, method, params, answer.result, asked);
    return answer;
  }

  /** The code that something was refused with: it is one that may come. */
  protected codeFor(what: string, error: unknown): string {
    const { world, name } = this.context;
    world.trace.add(`${name}: ${what} ends with ${String(error)}`);
    const code = error instanceof RingmqError ? error.code : String(error);
    this.unexpected(what, code);
    return code;
  }

  /** Where a retried message was first, as for everybody. */
  protected deliveryOf(message: TextMessage, attempts: number): Delivery {
    const { topic, partition, offset, properties = {}, key, tag, priority } = message;
    const n = properties.n === undefined ? undefined : Number(properties.n);
    const place = isRetryTopic(topic)
      ? `${properties[PROPERTY.realTopic]}/${properties[PROPERTY.realQueue]}:${properties[PROPERTY.realOffset]}`
      : `${topic}/${partition}:${offset}`;
    return { place, name: nameOf(bodyOfText(message)), attempts, about: { key, tag, n, priority } };
  }

  private async live(): Promise<void> {
    const { world, books } = this.context;
    const { attemptsMax } = this.group.rules;
    const settings = { retryDelaysMs: RETRY_DELAYS_MS, attemptsMax };
    for (;;) {
      while (this.group.away || !this.speaker.isOpen) await this.sleep(AGAIN_MS);
      try {
        await this.ask('group-settings', { group: this.group.name, settings });
        if (this.group.away) continue;
        this.member = `${this.context.name}.${books.now}`;
        await this.play();
      } catch (error) {
        this.codeFor('to be a member', error);
      }
      await this.sleep(world.random(BACK_MAX_MS));
    }
  }
}
