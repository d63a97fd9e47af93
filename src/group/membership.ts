// Who reads a topic for a group: the members, what they have agreed on, and who has not been heard of for too long.
// Members of push groups also share the queues (assignment.ts); those of simple ones only count as long as they call.
import { RingmqError } from '../base/codes.ts';
import { type GroupOrder, SESSION_MS } from '../wire/services.ts';

/** How the members of a group read a topic. They all do it the same way. */
export interface Terms {
  readonly kind: 'push' | 'simple';
  readonly order: GroupOrder;
  /** Canonical text of the filter, '' for none. */
  readonly filter: string;
}

export interface Member {
  readonly id: string;
  /** For people. */
  readonly client: string;
  /** Of the thread that calls for it. */
  seat: number;
  /** Generation with which it came: what it says with an older one was said in a life before. */
  readonly joined: number;
  /** Last sign of life, on the clock of the caller of these rules. */
  seenMs: number;
  /** Calls of it that are held at present: it lives as long as there are any. */
  held: number;
}

/** Who asks to come in. */
export interface Applicant {
  readonly member: string;
  readonly client: string;
  readonly seat: number;
}

export class Membership {
  private readonly place: string;
  private readonly byId = new Map<string, Member>();
  private agreed: Terms = { kind: 'push', order: 'key', filter: '' };
  /** Counts up with every change of who reads what. */
  generation = 0;
  /** Members that shared queues when that generation began. */
  sizeThen = 0;
  /** Members of before a restart of the coordinator that have not been heard of yet: see adopt(). */
  awaited = 0;

  /** `place` names group and topic, for errors. */
  constructor(place: string) {
    this.place = place;
  }

  get size(): number {
    return this.byId.size;
  }

  get members(): readonly Member[] {
    return [...this.byId.values()];
  }

  get ids(): readonly string[] {
    return [...this.byId.keys()];
  }

  /** Members that have queues assigned. */
  get pushIds(): readonly string[] {
    return this.agreed.kind === 'push' ? this.ids : [];
  }

  /** What the members have agreed on; without members, those that were here last. */
  get terms(): Terms {
    return this.agreed;
  }

  member(id: string): Member | undefined {
    return this.byId.get(id);
  }

  /**
   * A new member, or a new life of one whose connection begins again (the same thread and the same client text): that
   * is `replaced`. It came with the next generation: let that one begin. Throws `member-exists`, `group-mismatch`, or
   * `coordinator-unavailable` while members of before a restart are awaited.
   */
  join(applicant: Applicant, terms: Terms, nowMs: number): { readonly member: Member; readonly replaced: boolean } {
    const { member: id, client, seat } = applicant;
    const present = this.byId.get(id);
    if (this.awaited > 0) throw this.waits();
    if (present && (present.seat !== seat || present.client !== client)) throw this.exists(present);
    if (present) this.byId.delete(id);
    try {
      this.check(id, terms);
    } catch (error) {
      if (present) this.byId.set(id, present);
      throw error;
    }
    this.agreed = terms;
    const member = { id, client, seat, joined: this.generation + 1, seenMs: nowMs, held: 0 };
    this.byId.set(id, member);
    return { member, replaced: present !== undefined };
  }

  /**
   * A member that only leases messages: it is one as long as it calls. Two with one id do no harm, each has leases of
   * its own. Throws `group-mismatch`, and `member-exists` for the id of a live member that has queues assigned.
   */
  attend(applicant: Applicant, terms: Terms, nowMs: number): Member {
    const present = this.byId.get(applicant.member);
    if (present === undefined) return this.join(applicant, terms, nowMs).member;
    this.check(present.id, terms);
    if (this.agreed.kind !== terms.kind) throw this.exists(present);
    if (this.byId.size === 1) this.agreed = terms;
    present.seat = applicant.seat;
    present.seenMs = nowMs;
    return present;
  }

  /** The coordinator was restarted: members that know the present generation go on with what they hold. */
  awaitMembers(): void {
    this.awaited = this.sizeThen;
  }

  /**
   * A member of before the restart. Only who was one to the end knows the present generation, for it counts up when one
   * is taken for gone; so what such members hold they hold rightly. Undefined: it is none of them.
   */
  adopt(applicant: Applicant, generation: number, terms: Terms, nowMs: number): Member | undefined {
    const { member: id, client, seat } = applicant;
    if (this.awaited === 0 || generation !== this.generation || this.byId.has(id)) return undefined;
    this.check(id, terms);
    this.awaited--;
    this.agreed = terms;
    const member = { id, client, seat, joined: generation, seenMs: nowMs, held: 0 };
    this.byId.set(id, member);
    return member;
  }

  /** A member that came before. Throws `stale-generation` for one that is gone, and `group-mismatch`. */
  renew(applicant: Applicant, generation: number, terms: Terms, nowMs: number): Member {
    const member = this.current(applicant.member, generation);
    this.check(member.id, terms);
    member.seat = applicant.seat;
    member.seenMs = nowMs;
    return member;
  }

  /** The member, if it still is the one that was told this generation. Throws `stale-generation`. */
  current(id: string, generation: number): Member {
    const member = this.byId.get(id);
    if (member && generation >= member.joined && generation <= this.generation) return member;
    if (generation === this.generation) this.assertNotAwaited(id);
    const why = member
      ? `joined with generation ${member.joined}, and this call names ${generation}`
      : `is not (or no more) a member: silent for ${SESSION_MS / 1_000} s, or the coordinator was restarted`;
    throw new RingmqError('stale-generation', `${this.place}: '${id}' ${why}; join again with generation 0`);
  }

  /** Throws `coordinator-unavailable` for one that may be a member of before a restart, and was not heard of yet. */
  assertNotAwaited(id: string): void {
    if (this.awaited > 0 && !this.byId.has(id)) throw this.waits();
  }

  leave(id: string): boolean {
    return this.byId.delete(id);
  }

  /** Takes out who has not been heard of for too long, and says who. */
  expire(nowMs: number): readonly string[] {
    return this.leaveWhere((one) => one.held === 0 && nowMs - one.seenMs >= SESSION_MS);
  }

  /** Takes out the members of a thread that is gone. */
  seatLeft(seat: number): readonly string[] {
    return this.leaveWhere((one) => one.seat === seat);
  }

  private exists({ id, client }: Member): RingmqError {
    const whose = client === '' ? '' : ` of ${client}`;
    const text = `${this.place} has a live member '${id}'${whose} already`;
    return new RingmqError('member-exists', `${text}: choose another id, or wait ${SESSION_MS / 1_000} s`);
  }

  private waits(): RingmqError {
    const text = `${this.place}: the coordinator was restarted and waits for the members that there were`;
    return new RingmqError('coordinator-unavailable', `${text}: try again`);
  }

  private leaveWhere(gone: (member: Member) => boolean): readonly string[] {
    const ids = this.members.filter(gone).map(({ id }) => id);
    for (const id of ids) this.byId.delete(id);
    return ids;
  }

  /** Any other member. */
  private otherThan(id: string): Member | undefined {
    for (const one of this.byId.values()) if (one.id !== id) return one;
    return undefined;
  }

  private check(id: string, asked: Terms): void {
    const { terms } = this;
    const other = this.otherThan(id);
    if (other === undefined) return;
    for (const name of ['kind', 'order', 'filter'] as const) {
      if (terms[name] === asked[name]) continue;
      throw new RingmqError(
        'group-mismatch',
        `${this.place} is read with ${name} '${terms[name]}' (by member '${other.id}'), and '${id}' asks for ` +
          `'${asked[name]}': members of a group must agree`,
      );
    }
  }
}
