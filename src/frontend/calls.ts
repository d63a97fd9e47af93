// Calls of network clients to the coordinator: passed on, and the answers passed back. What a caller leaves behind when
// it goes away is cleared up here: it leaves its groups, and messages that were leased to nobody are given back.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import type { Method, ParamsOf, Received, ResultOf, Settle } from '../wire/services.ts';
import { CALLS_HELD_ALL_MAX, CALLS_HELD_MAX, REQUESTS_MAX } from './config.ts';

/** Who calls: a session, or one HTTP request. */
export interface Calling {
  /** It has gone away. */
  readonly closed: boolean;
  /** Calls without an answer, and those of them that are held. */
  calling: number;
  holding: number;
  /** Members of groups that it has synced as. */
  readonly members: Map<string, Member>;
}

export type Member = ParamsOf<'group-leave'>;
type CallCommand = CommandOf<'call'>;
type CallReply = CommandOf<'call-reply'>;

/** Asks the coordinator. */
export type AskCoordinator = (command: CallCommand, timeoutMs: number) => Promise<Command>;

/** Beyond what the call itself waits. */
const TIMEOUT_MS = 10_000;
const NO_BYTES = new Uint8Array(0);
/** Methods whose parameters are looked at here: they may wait, or members come and go by them. */
const READ: ReadonlySet<string> = new Set([
  'group-sync',
  'group-leave',
  'receive',
  'transaction-checks',
] satisfies Method[]);
/** `timeout`: a later sync has taken the place of this one, or there was no sign of life for longer than a session. */
const ANOTHERS: ReadonlySet<CodeName> = new Set(['member-exists', 'stale-generation', 'timeout']);
/** Members of groups of one session. */
const MEMBERS_MAX = 1_024;
/** Longer names are none: the coordinator refuses them, and they are not kept here. */
const NAME_LENGTH_MAX = 256;

export class Calls {
  private readonly ask: AskCoordinator;
  private holding = 0;

  constructor(ask: AskCoordinator) {
    this.ask = ask;
  }

  /** Rejects with what the coordinator refuses with; `busy` if the caller has asked too much already. */
  async pass(caller: Calling, command: CallCommand): Promise<CallReply> {
    const params = READ.has(command.method) ? membersOf(command.params) : {};
    const waitMs = typeof params.waitMs === 'number' ? params.waitMs : 0;
    const isHeld = waitMs > 0;
    if (caller.calling >= REQUESTS_MAX || (isHeld && caller.holding >= CALLS_HELD_MAX)) {
      throw new RingmqError('busy', `too many unanswered calls: at most ${CALLS_HELD_MAX} that wait for something`);
    }
    if (isHeld && this.holding >= CALLS_HELD_ALL_MAX) {
      throw new RingmqError('busy', `${CALLS_HELD_ALL_MAX} calls of all clients wait for something already`);
    }
    const member = command.method === 'group-sync' ? remember(caller, params) : undefined;
    caller.calling++;
    if (isHeld) {
      caller.holding++;
      this.holding++;
    }
    try {
      const reply = await this.asked(command, waitMs);
      if (command.method === 'group-leave') forget(caller, params);
      if (caller.closed) this.unheard(command.method, params, reply);
      return reply;
    } catch (error) {
      if (member && isAnothers(error)) disown(caller, member);
      throw error;
    } finally {
      caller.calling--;
      if (isHeld) {
        caller.holding--;
        this.holding--;
      }
    }
  }

  /** The same for this thread itself. */
  async call<M extends Method>(method: M, params: ParamsOf<M>, payload = NO_BYTES): Promise<CallAnswer<M>> {
    const waitMs = 'waitMs' in params ? params.waitMs : 0;
    const reply = await this.asked({ type: 'call', method, params: JSON.stringify(params), payload }, waitMs);
    return { result: JSON.parse(reply.result) as ResultOf<M>, payload: reply.payload };
  }

  /** The caller has gone away. */
  left(caller: Calling): void {
    for (const member of caller.members.values()) this.leave(member);
    caller.members.clear();
  }

  private async asked(command: CallCommand, waitMs: number): Promise<CallReply> {
    const reply = await this.ask(command, Math.max(0, waitMs) + TIMEOUT_MS);
    if (reply.type !== 'call-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    return reply;
  }

  /** The answer came too late to be heard. */
  private unheard(method: string, params: Members, { result }: CallReply): void {
    if (method === 'receive') this.giveBack(params, JSON.parse(result) as Received);
    if (method !== 'group-sync') return;
    const member = memberOf(params);
    if (member) this.leave(member);
  }

  /** Leases that nobody knows of would hold their messages until they run out. */
  private giveBack({ group, topic }: Members, { queues, messages }: Received): void {
    const extensions: number[][] = queues.map(() => []);
    for (let i = 0; i < messages.length; i += 4) extensions[messages[i]].push(messages[i + 1], messages[i + 2], -1);
    if (messages.length === 0) return;
    const named = queues.map((queue, i) => {
      return { topic: queue.topic, partition: queue.partition, acks: [], nacks: [], extensions: extensions[i] };
    });
    this.quietly('settle', { group, topic, queues: named } as Settle);
  }

  private leave(member: Member): void {
    this.quietly('group-leave', member);
  }

  /** Should it fail, the member expires, and the lease runs out. */
  private quietly<M extends Method>(method: M, params: ParamsOf<M>): void {
    this.call(method, params).catch((error: unknown) => {
      if (!(error instanceof RingmqError)) throw error;
    });
  }
}

export interface CallAnswer<M extends Method> {
  readonly result: ResultOf<M>;
  readonly payload: Uint8Array;
}

type Members = Readonly<Record<string, unknown>>;

/** The coordinator refuses what is no object. */
function membersOf(params: string): Members {
  try {
    const value: unknown = JSON.parse(params);
    return typeof value === 'object' && value !== null ? (value as Members) : {};
  } catch {
    return {};
  }
}

function memberOf({ group, topic, member }: Members): Member | undefined {
  return isName(group) && isName(topic) && isName(member) ? { group, topic, member } : undefined;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= NAME_LENGTH_MAX;
}

function remember(caller: Calling, params: Members): Member | undefined {
  const member = memberOf(params);
  if (!member) return undefined;
  const name = nameOf(member);
  if (caller.members.size >= MEMBERS_MAX && !caller.members.has(name)) {
    throw new RingmqError('busy', `a session has at most ${MEMBERS_MAX} members of groups: leave some`);
  }
  caller.members.set(name, member);
  return member;
}

/**
 * The member is another session's, or that of a later life of the client: taking it out when this session ends would
 * take it from them.
 */
function isAnothers(error: unknown): boolean {
  return error instanceof RingmqError && ANOTHERS.has(error.code);
}

/** Unless the caller has synced as it again since. */
function disown(caller: Calling, member: Member): void {
  const name = nameOf(member);
  if (caller.members.get(name) === member) caller.members.delete(name);
}

function forget(caller: Calling, params: Members): void {
  const member = memberOf(params);
  if (member) caller.members.delete(nameOf(member));
}

function nameOf({ group, topic, member }: Member): string {
  return JSON.stringify([group, topic, member]);
}
