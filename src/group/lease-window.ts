// The messages of one queue between a group's ack floor and how far it was read, for consumers that lease messages one
// by one: which are ready, leased to whom and until when, blocked by their key, or acknowledged. Pure bookkeeping in
// typed arrays; the bytes and the journal are the owner's business.
//
// I1  What was acknowledged is never ready again.
// I2  At most one message of a key is leased or ready: the earliest that is not acknowledged.
// I3  A lease ends once: by its token, or by time.
import { KeyChains } from './key-chains.ts';
import {
  ACKED,
  BLOCKED,
  FOLLOWER,
  HEAD,
  LEASED,
  LeaseSlots,
  MOVING,
  NO_CHUNK,
  READY,
  UNCHAINED,
  UNREAD,
} from './lease-slots.ts';
import { ReadySet } from './ready-set.ts';

/** Most offsets between the ack floor and the newest lease. */
export const LEASE_SPAN_MAX = 16_384;
/** Deliveries that can be counted. */
const DELIVERIES_MAX = 65_535;
const SLOTS_MIN = 64;
/** The span, and a batch of 65,536 records that was begun within it. */
const SLOTS_MAX = 131_072;
const PRIORITIES = 16;

/** Consecutive messages that were delivered alike. */
export interface LeaseRun {
  readonly from: number;
  readonly to: number;
  /** 0: nobody can settle it. */
  readonly token: number;
  readonly until: number;
  readonly deliveries: number;
}

export class LeaseWindow {
  /** Everything before this offset is acknowledged. */
  floor = 0;
  /** The next offset to be read. */
  top = 0;
  ready = 0;
  /** Messages that wait for an earlier one of their key. */
  blocked = 0;
  /** Leased, waiting for a retry in place, or on their way elsewhere. */
  leased = 0;
  /** No lease ends before this time. */
  dueAt = Number.POSITIVE_INFINITY;
  /** One after the newest offset of which anything is known. */
  private end = 0;
  private slots = new LeaseSlots(SLOTS_MIN);
  private readonly levels: (ReadySet | undefined)[] = new Array(PRIORITIES).fill(undefined);
  private readonly chains = new KeyChains();
  /** Highest priority that was seen. */
  private highest = 0;
  private readonly release: (chunk: number) => void;

  /** `release` hears of every message whose bytes are needed no more. */
  constructor(release: (chunk: number) => void) {
    this.release = release;
  }

  /** True if nothing is known but the floor. */
  get empty(): boolean {
    return this.end === this.floor;
  }

  /** Reading begins, or begins again, at the ack floor. Leases that are known already go on. */
  begin(floor: number): void {
    this.unload();
    if (floor > this.end || this.end - floor > SLOTS_MAX) this.clearAll(floor);
    else this.cover(floor, floor);
    while (this.floor < floor) this.drop(this.floor++);
    this.floor = floor;
    this.top = floor;
    this.end = Math.max(this.end, floor);
  }

  /** What the journal says of messages that are not acknowledged. */
  restore({ from, to, token, until, deliveries }: LeaseRun): void {
    if (this.empty) this.clearAll(from);
    this.cover(from, to);
    for (let offset = Math.max(from, this.floor); offset < to; offset++) {
      const slot = offset & this.slots.mask;
      if (this.slots.state[slot] === UNREAD) this.leased++;
      this.slots.state[slot] = LEASED;
      this.slots.token[slot] = token;
      this.slots.until[slot] = until;
      this.slots.deliveries[slot] = Math.min(deliveries, DELIVERIES_MAX);
    }
    this.dueAt = Math.min(this.dueAt, until);
  }

  /**
   * A message was read, in order of offsets; readTo() ends its batch. `key`: hash, 0 for none; `failures`: how often it
   * failed elsewhere. False if it is acknowledged: its bytes are not held. HOT
   */
  add(offset: number, chunk: number, at: number, key: number, priority: number, failures: number): boolean {
    if (offset >= this.end) this.cover(offset, offset + 1);
    const { slots } = this;
    const slot = offset & slots.mask;
    const state = slots.state[slot];
    if (state === ACKED) return false;
    slots.chunk[slot] = chunk;
    slots.at[slot] = at;
    slots.key[slot] = key;
    slots.priority[slot] = priority;
    if (slots.deliveries[slot] < failures) slots.deliveries[slot] = failures;
    if (key !== 0) this.chains.append(slots, offset, key);
    if (state === UNREAD) this.offer(offset, slot);
    return true;
  }

  /** Everything before `offset` was read: what was not added is not wanted, and counts as acknowledged. */
  readTo(offset: number): void {
    this.cover(this.top, offset);
    const { slots } = this;
    for (let i = this.top; i < offset; i++) {
      const slot = i & slots.mask;
      if (slots.chunk[slot] !== NO_CHUNK || slots.state[slot] === ACKED || slots.state[slot] === MOVING) continue;
      if (slots.state[slot] === LEASED) this.leased--;
      slots.state[slot] = ACKED;
    }
    this.top = offset;
    this.advance();
  }

  /** The next one to hand on: the oldest, or the oldest of the highest priority. -1: none, or the span is full. HOT */
  peek(byPriority: boolean): number {
    if (this.ready === 0) return -1;
    const end = Math.min(this.top, this.floor + LEASE_SPAN_MAX);
    let oldest = -1;
    for (let level = this.highest; level >= 0; level--) {
      const found = this.levels[level]?.first(oldest < 0 ? end : oldest) ?? -1;
      if (found >= 0) oldest = found;
      if (oldest >= 0 && byPriority) break;
    }
    return oldest;
  }

  priorityOf(offset: number): number {
    return this.slots.priority[offset & this.slots.mask];
  }

  /** Leases what peek() gave. Returns its deliveries, this one included. HOT */
  lease(offset: number, token: number, until: number): number {
    const { slots } = this;
    const slot = offset & slots.mask;
    this.withdraw(offset, slot);
    slots.state[slot] = LEASED;
    slots.token[slot] = token;
    slots.until[slot] = until;
    this.leased++;
    if (until < this.dueAt) this.dueAt = until;
    if (slots.deliveries[slot] < DELIVERIES_MAX) slots.deliveries[slot]++;
    return slots.deliveries[slot];
  }

  /** HOT */
  chunkOf(offset: number): number {
    return this.slots.chunk[offset & this.slots.mask];
  }
  /** HOT */
  atOf(offset: number): number {
    return this.slots.at[offset & this.slots.mask];
  }
  deliveriesOf(offset: number): number {
    return this.slots.deliveries[offset & this.slots.mask];
  }
  /** True if others may wait for it: also while it was not read, and nobody knows its key. */
  isOrdered(offset: number): boolean {
    const slot = offset & this.slots.mask;
    return this.slots.chunk[slot] === NO_CHUNK || this.slots.key[slot] !== 0;
  }

  /** True if the message belongs to who has the token. HOT */
  holds(offset: number, token: number): boolean {
    if (offset < this.floor || offset >= this.end) return false;
    const slot = offset & this.slots.mask;
    return this.slots.state[slot] === LEASED && this.slots.token[slot] === token && token !== 0;
  }

  /** It is acknowledged, whoever has it. HOT */
  ack(offset: number): void {
    if (offset < this.floor || offset >= this.end) return;
    const { slots } = this;
    const slot = offset & slots.mask;
    const state = slots.state[slot];
    if (state === ACKED) return;
    if (state === READY || state === BLOCKED) this.withdraw(offset, slot);
    else if (state !== UNREAD) this.leased--;
    this.dropBytes(slot);
    slots.state[slot] = ACKED;
    if (slots.chained[slot] === HEAD) this.promote(offset);
    if (offset === this.floor) this.advance();
  }

  /** Of a leased message: until when. With token 0 nobody can settle it. */
  keep(offset: number, token: number, until: number): void {
    const { slots } = this;
    const slot = offset & slots.mask;
    // Acknowledged meanwhile: the slot may be another message's.
    if (offset < this.floor || (slots.state[slot] !== LEASED && slots.state[slot] !== MOVING)) return;
    slots.state[slot] = LEASED;
    slots.token[slot] = token;
    slots.until[slot] = until;
    if (until < this.dueAt) this.dueAt = until;
  }

  /** Of a leased message: it is being moved elsewhere; ack() or keep() ends that. Who gets runs() waits until then. */
  move(offset: number, until: number): void {
    this.slots.state[offset & this.slots.mask] = MOVING;
    this.slots.until[offset & this.slots.mask] = until;
  }

  /** Of a leased message: it is ready again. `counts`: it was delivered. */
  giveBack(offset: number, counts = true): void {
    const { slots } = this;
    const slot = offset & slots.mask;
    this.leased--;
    if (!counts) slots.deliveries[slot]--;
    if (slots.chunk[slot] !== NO_CHUNK) {
      this.offer(offset, slot);
      return;
    }
    slots.state[slot] = offset < this.top ? ACKED : UNREAD;
    this.advance();
  }

  /**
   * Adds the offsets whose leases have ended to `due`; giveBack(), keep() or move() says what becomes of each. Looks at
   * the whole window, and only when something may be due: at most as often as housekeeping comes by.
   */
  expired(nowMs: number, due: number[]): void {
    if (nowMs < this.dueAt) return;
    const { slots } = this;
    let next = Number.POSITIVE_INFINITY;
    for (let offset = this.floor; offset < this.end; offset++) {
      const slot = offset & slots.mask;
      if (slots.state[slot] !== LEASED) continue;
      const until = slots.until[slot];
      if (until <= nowMs) due.push(offset);
      else if (until < next) next = until;
    }
    this.dueAt = next;
  }

  /** Forgets what was read; leases stay, and what was acknowledged above the floor. Reading goes on with begin(). */
  unload(): void {
    const { slots } = this;
    for (let offset = this.floor; offset < this.end; offset++) {
      const slot = offset & slots.mask;
      this.dropBytes(slot);
      slots.chained[slot] = UNCHAINED;
      slots.next[slot] = 0;
      if (slots.state[slot] === READY || slots.state[slot] === BLOCKED) slots.state[slot] = UNREAD;
    }
    this.levels.fill(undefined);
    this.chains.clear();
    this.ready = 0;
    this.blocked = 0;
    this.top = this.floor;
  }

  /** A restart of the broker took back everything from `offset` on: leases there are no more. Then begin(). */
  takeBack(offset: number): void {
    this.unload();
    for (let i = Math.max(offset, this.floor); i < this.end; i++) this.drop(i);
    this.end = Math.min(this.end, Math.max(offset, this.floor));
    if (offset < this.floor) this.clearAll(offset);
  }

  /** What has been delivered and is not acknowledged, in runs of messages alike. */
  *runs(): Generator<LeaseRun> {
    const { slots } = this;
    let from = -1;
    for (let offset = this.floor; offset <= this.end; offset++) {
      if (from >= 0 && !(offset < this.end && this.alike(from, offset))) {
        const slot = from & slots.mask;
        const until = slots.state[slot] === LEASED || slots.state[slot] === MOVING ? slots.until[slot] : 0;
        const token = slots.state[slot] === LEASED ? slots.token[slot] : 0;
        yield { from, to: offset, token, until, deliveries: slots.deliveries[slot] };
        from = -1;
      }
      const counts = offset < this.end && slots.deliveries[offset & slots.mask] > 0;
      if (from < 0 && counts && slots.state[offset & slots.mask] !== ACKED) from = offset;
    }
  }

  private alike(a: number, b: number): boolean {
    const { slots } = this;
    const [i, j] = [a & slots.mask, b & slots.mask];
    if (slots.state[i] !== slots.state[j] || slots.deliveries[i] !== slots.deliveries[j]) return false;
    if (slots.state[i] !== LEASED && slots.state[i] !== MOVING) return true;
    return slots.token[i] === slots.token[j] && slots.until[i] === slots.until[j];
  }

  /** It may be handed on, unless its key says no. HOT */
  private offer(offset: number, slot: number): void {
    const { slots } = this;
    if (slots.chained[slot] === FOLLOWER) {
      slots.state[slot] = BLOCKED;
      this.blocked++;
      return;
    }
    slots.state[slot] = READY;
    this.ready++;
    const level = slots.priority[slot];
    let set = this.levels[level];
    if (set === undefined) {
      set = new ReadySet(slots.count);
      this.levels[level] = set;
      if (level > this.highest) this.highest = level;
    }
    set.add(offset);
  }

  /** It is neither ready nor blocked any more. HOT */
  private withdraw(offset: number, slot: number): void {
    if (this.slots.state[slot] === BLOCKED) {
      this.blocked--;
      return;
    }
    this.ready--;
    this.levels[this.slots.priority[slot]]?.delete(offset);
  }

  /** The earliest message of a key is acknowledged: the next one that is not comes forward. HOT */
  private promote(head: number): void {
    const { slots } = this;
    const offset = this.chains.promote(slots, head);
    if (offset < 0 || slots.state[offset & slots.mask] !== BLOCKED) return;
    this.blocked--;
    this.offer(offset, offset & slots.mask);
  }

  private dropBytes(slot: number): void {
    const chunk = this.slots.chunk[slot];
    if (chunk === NO_CHUNK) return;
    this.slots.chunk[slot] = NO_CHUNK;
    this.release(chunk);
  }

  private advance(): void {
    const { slots } = this;
    while (this.floor < this.top && slots.state[this.floor & slots.mask] === ACKED) {
      slots.clear(this.floor & slots.mask);
      this.floor++;
    }
  }

  /** Of an unloaded window. */
  private drop(offset: number): void {
    const { slots } = this;
    const slot = offset & slots.mask;
    if (slots.state[slot] === LEASED || slots.state[slot] === MOVING) this.leased--;
    slots.clear(slot);
  }

  /** Of an unloaded window. */
  private clearAll(floor: number): void {
    for (let offset = this.floor; offset < this.end; offset++) this.drop(offset);
    this.floor = floor;
    this.top = floor;
    this.end = floor;
    this.dueAt = Number.POSITIVE_INFINITY;
  }

  /** Makes room to know something of these offsets. What lies too far behind them is forgotten. */
  private cover(from: number, to: number): void {
    const low = Math.min(from, this.floor);
    const end = Math.max(to, this.end);
    if (end - low > this.slots.count) this.grow(low, end);
    while (this.floor < end - SLOTS_MAX) this.drop(this.floor++);
    if (from < this.floor) this.floor = Math.max(from, end - SLOTS_MAX);
    this.top = Math.max(this.top, this.floor);
    this.end = end;
  }

  private grow(low: number, end: number): void {
    let count = this.slots.count;
    while (count < end - low && count < SLOTS_MAX) count *= 2;
    if (count === this.slots.count) return;
    const old = this.slots;
    this.slots = new LeaseSlots(count);
    this.levels.fill(undefined);
    this.ready = 0;
    for (let offset = this.floor; offset < this.end; offset++) {
      this.slots.copy(old, offset);
      const slot = offset & this.slots.mask;
      if (this.slots.state[slot] === READY) this.offer(offset, slot);
    }
  }
}
