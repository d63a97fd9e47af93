// A push consumer that says by hand what the library says: it syncs, pulls what it is assigned, handles one message
// after the other, and commits. See text-member.ts.
import { isRetryTopic, PROPERTY } from '../../src/wire/services.ts';
import { AGAIN_MS } from './reader-roles.ts';
import type { TextMessage } from './speakers.ts';
import { TextMember } from './text-member.ts';

const MISSED = 'offset-out-of-range';

/** A queue that a push member holds; everything before `offset` is handled. */
interface Held {
  readonly topic: string;
  readonly partition: number;
  epoch: number;
  offset: number;
  acked: readonly number[];
  attempts: readonly number[];
  givingUp: boolean;
}

const SYNC_WAIT_MS = 1_000;
const SYNC_AGAIN_MS = 50;
const IS_OVER = ['stale-generation', 'unknown-group'];
/** That may be this one, before its connection was lost. */
const GHOST = 'member-exists';
/** A member that syncs twice at once hears it of the first. */
const IN_BETWEEN_MS = 20;

export class TextPush extends TextMember {
  private readonly held = new Map<string, Held>();
  /** Counts its lives in the group. */
  private round = 0;
  private generation = 0;
  private sessionMs = 0;
  private heardAt = 0;
  private inDoubt = true;
  /** When it asked what it was answered last. */
  private asked = 0;

  protected override lost(): void {
    this.inDoubt = true;
  }

  protected async play(): Promise<void> {
    const { world } = this.context;
    const round = ++this.round;
    this.beginAnew();
    void this.sync(round);
    while (round === this.round && !this.leavesNow) {
      for (const one of this.held.values()) if (one.givingUp) await this.giveUp(one);
      const queues = [...this.held.values()].filter((one) => !one.givingUp);
      if (queues.length === 0 || !this.isSure) await this.sleep(AGAIN_MS);
      else await this.read(queues[world.random(queues.length)], round);
      await this.sleep(world.random(IN_BETWEEN_MS));
    }
    if (round !== this.round) return;
    this.round++;
    await this.commit([...this.held.values()]);
    await this.ask('group-leave', this.identity);
  }

  private get isSure(): boolean {
    return !this.inDoubt && this.context.world.nowMs - this.heardAt < this.sessionMs;
  }

  /** It holds nothing. */
  private beginAnew(): void {
    this.generation = 0;
    this.inDoubt = true;
    this.held.clear();
  }

  /** Asks what it shall hold for as long as it is a member. */
  private async sync(round: number): Promise<void> {
    const { books, world } = this.context;
    while (round === this.round) {
      const asked = books.now;
      const owned = [...this.held.values()].map(({ topic, partition }) => ({ topic, partition }));
      const more = { client: this.context.name, generation: this.generation, owned };
      try {
        const { result } = await this.ask('group-sync', {
          ...this.terms,
          ...more,
          waitMs: this.isSure ? world.random(SYNC_WAIT_MS) : 0,
        });
        if (round !== this.round) return;
        this.assigned(result as Assignment, asked);
        await this.sleep(SYNC_AGAIN_MS);
      } catch (error) {
        const { code } = error as { readonly code?: string };
        if (code !== GHOST) this.codeFor('a sync', error);
        if (round !== this.round) return;
        if (IS_OVER.includes(code ?? '')) this.beginAnew();
        await this.sleep(AGAIN_MS);
      }
    }
  }

  private assigned({ generation, sessionMs, queues }: Assignment, asked: number): void {
    this.asked = Math.max(this.asked, asked);
    this.heardAt = this.context.world.nowMs;
    this.inDoubt = false;
    this.generation = generation;
    this.sessionMs = sessionMs;
    const named = new Set<string>();
    for (const one of queues) {
      const name = `${one.topic}/${one.partition}`;
      named.add(name);
      if (!this.held.has(name)) this.held.set(name, { ...one, givingUp: false });
    }
    for (const [name, one] of this.held) if (!named.has(name)) one.givingUp = true;
  }

  /** Somebody else shall have it, from where this one is. */
  private async giveUp(queue: Held): Promise<void> {
    if (await this.commit([queue])) this.held.delete(`${queue.topic}/${queue.partition}`);
    else await this.sleep(AGAIN_MS);
  }

  /** Handles what lies next in a queue. */
  private async read(queue: Held, round: number): Promise<void> {
    const { world } = this.context;
    const { topic, partition, epoch, offset } = queue;
    const filter = isRetryTopic(topic) ? undefined : this.group.rules.filter?.filter;
    try {
      const pulled = await this.speaker.pull({ topic, partition, epoch, offset, waitMs: 0, filter });
      if (!this.holds(queue, round) || queue.offset !== offset) return;
      const messages = pulled.messages.map((one) => ({ ...one, topic, partition }));
      if (pulled.gap) this.goOn(queue, pulled.epoch, messages[0]?.offset ?? pulled.nextOffset);
      queue.epoch = pulled.epoch;
      for (const one of messages) {
        if (!this.holds(queue, round) || !(await this.handle(queue, one))) return;
      }
      if (!this.holds(queue, round)) return;
      queue.offset = Math.max(queue.offset, pulled.nextOffset);
    } catch (error) {
      if ((error as { readonly code?: string }).code !== 'log-busy') this.codeFor('a pull', error);
      await this.sleep(AGAIN_MS);
    }
    if (world.chance(50) && this.holds(queue, round)) await this.commit([queue]);
  }

  private holds(queue: Held, round: number): boolean {
    const isHeld = this.held.get(`${queue.topic}/${queue.partition}`) === queue;
    return round === this.round && isHeld && !queue.givingUp && this.isSure && !this.group.away;
  }

  /** What is not there, or was taken back by a crash, is not waited for. */
  private goOn(queue: Held, epoch: number, offset: number): void {
    this.context.world.trace.add(`${this.member} goes on at ${queue.topic}/${queue.partition}:${offset}`);
    queue.epoch = epoch;
    queue.offset = offset;
    queue.acked = [];
    queue.attempts = [];
  }

  /** False: it is no member any more. */
  private async handle(queue: Held, message: TextMessage): Promise<boolean> {
    const { world } = this.context;
    const { group, member } = this;
    const { offset } = message;
    if (offset < queue.offset) return true;
    if (!contains(queue.acked, offset)) {
      const attempts = this.attemptsOf(queue, message);
      const key = group.handed(member, this.deliveryOf(message, attempts), this.asked);
      if (world.chance(30)) await this.sleep(world.random(40));
      const fails = group.rules.order === 'none' && !this.quiet && world.chance(12);
      if (!fails) group.succeeded(member, key);
      else if (!(await this.sendBack(queue, offset, attempts, key))) return false;
    }
    queue.offset = offset + 1;
    return true;
  }

  private attemptsOf({ attempts }: Held, { offset, topic, properties = {} }: TextMessage): number {
    const at = attempts.findIndex((one, i) => i % 2 === 0 && one === offset);
    const before = isRetryTopic(topic) ? Number(properties[PROPERTY.reconsumeTimes] ?? 0) : 0;
    return 1 + Math.max(before, at < 0 ? 0 : attempts[at + 1]);
  }

  /** It comes again later. Whether it does is not known without an answer: then this one begins anew. */
  private async sendBack(queue: Held, offset: number, attempts: number, key: string): Promise<boolean> {
    const { topic, partition, epoch } = queue;
    const deadLetter = this.context.world.chance(10);
    if (deadLetter) this.group.gaveUp(key);
    const what = { queue: { topic, partition }, epoch, offset, attempts, delayMs: -1, deadLetter, reason: 'told to' };
    try {
      await this.ask('send-back', { ...this.identity, ...what });
      return true;
    } catch (error) {
      this.codeFor('to send back', error);
      this.round++;
      return false;
    }
  }

  /** False: it was not, or nobody knows. */
  private async commit(queues: readonly Held[]): Promise<boolean> {
    const { asked, generation, round, identity } = this;
    const places = queues.map(({ topic, partition, epoch, offset, acked, attempts }) => {
      const above = pairs(acked).filter(([, to]) => to > offset);
      const failed = pairs(attempts).filter(([at]) => at >= offset);
      const ranges = above.map(([from, to]) => [Math.max(from, offset), to]);
      return { topic, partition, epoch, offset, acked: ranges.flat(), attempts: failed.flat() };
    });
    try {
      const now = this.context.books.now;
      await this.ask('group-commit', { ...identity, generation, queues: places });
      this.asked = Math.max(asked, now);
      return true;
    } catch (error) {
      const code = this.codeFor('a commit', error);
      if (round === this.round && IS_OVER.includes(code)) this.beginAnew();
      return code === MISSED;
    }
  }
}

interface Assignment {
  readonly generation: number;
  readonly sessionMs: number;
  readonly queues: readonly Omit<Held, 'givingUp'>[];
}

function pairs(flat: readonly number[]): (readonly [number, number])[] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[i * 2], flat[i * 2 + 1]] as const);
}

function contains(ranges: readonly number[], offset: number): boolean {
  return pairs(ranges).some(([from, to]) => from <= offset && offset < to);
}
