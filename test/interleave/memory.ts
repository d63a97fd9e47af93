// Shared memory as the explorer sees it: regions of words behind proxies, an undo log, and a race detector.
//
// Every plain access of the code under test goes through a proxy, every atomic one through the shim in engine.ts. Both
// end here. Each word carries, per actor, the clock of its last plain read, plain write, atomic read and atomic write
// (vector clocks as in FastTrack). JavaScript's memory model orders accesses by reads-from edges of atomics only: an
// atomic store passes on the writer's clock, an atomic load that reads it takes that clock over.
const PLAIN_READ = 0;
const PLAIN_WRITE = 1;
const ATOMIC_READ = 2;
const ATOMIC_WRITE = 3;
const KINDS = 4;
const CLOCK_MAX = 4096;

/** Names and sizes (bytes, multiples of 4) of the regions of one scenario. */
export type RegionBytes = Readonly<Record<string, number>>;

/** A region: the same bytes as words and as bytes, raw (for setup and final checks) or behind proxies (for actors). */
export interface View {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
}

interface Region {
  readonly name: string;
  readonly first: number;
  readonly length: number;
}

export class Race extends Error {}

/** Who asks to access memory now; the engine decides whether the access is real or a replay of one logged before. */
export interface Gate {
  plainRead(word: number): number;
  plainWrite(word: number, value: number): void;
}

export class Memory {
  readonly words: Int32Array;
  readonly raw: Record<string, View> = {};
  readonly shown: Record<string, View> = {};
  private readonly regions: Region[] = [];
  private readonly regionOf = new WeakMap<object, Region>();
  private readonly actors: number;
  private readonly clocks: Int32Array;
  private readonly released: Int32Array;
  private readonly touched: Int32Array;
  private readonly valueHash = new Int32Array(2);
  private readonly active: number[] = [];
  private readonly isActive: Uint8Array;
  private readonly ranks: Int32Array;
  private readonly undoArray: Int32Array[] = [];
  private readonly undoIndex: number[] = [];
  private readonly undoValue: number[] = [];

  constructor(sizes: RegionBytes, actors: number, gate: Gate) {
    const total = Object.values(sizes).reduce((sum, bytes) => sum + bytes / 4, 0);
    const buffer = new SharedArrayBuffer(total * 4);
    this.words = new Int32Array(buffer);
    this.isActive = new Uint8Array(total);
    this.ranks = new Int32Array(CLOCK_MAX);
    this.actors = actors;
    this.clocks = new Int32Array(actors * actors);
    for (let actor = 0; actor < actors; actor++) this.clocks[actor * actors + actor] = 1;
    this.released = new Int32Array(total * actors);
    this.touched = new Int32Array(total * KINDS * actors);
    let first = 0;
    for (const [name, bytes] of Object.entries(sizes)) {
      this.addRegion(name, buffer, first, bytes, gate);
      first += bytes / 4;
    }
  }

  private addRegion(name: string, buffer: SharedArrayBuffer, first: number, bytes: number, gate: Gate): void {
    const raw = {
      words: new Int32Array(buffer, first * 4, bytes / 4),
      bytes: new Uint8Array(buffer, first * 4, bytes),
    };
    const words = new Proxy(raw.words, wordHandler(first, gate));
    const shown = { words, bytes: new Proxy(raw.bytes, byteHandler(first, gate)) };
    const region = { name, first, length: bytes / 4 };
    this.regionOf.set(words, region);
    this.regions.push(region);
    this.raw[name] = raw;
    this.shown[name] = shown;
  }

  /** Global word number of an index in a proxied array. */
  wordOf(array: object, index: number): number {
    const region = this.regionOf.get(array);
    if (region === undefined) throw new Error('Atomics on memory that the explorer does not know');
    if (!(index >= 0 && index < region.length)) throw new RangeError(`Atomics out of range: ${index}`);
    return region.first + index;
  }

  /** Name of a word for traces, such as `table[64]`. */
  nameOf(word: number): string {
    const region = this.regions.findLast((r) => r.first <= word) as Region;
    return `${region.name}[${word - region.first}]`;
  }

  /** Writes one word of any array of the explorer's state so that rollback() can take it back. */
  set(array: Int32Array, index: number, value: number): void {
    if (array[index] === value) return;
    this.undoArray.push(array);
    this.undoIndex.push(index);
    this.undoValue.push(array[index]);
    array[index] = value;
  }

  mark(): number {
    return this.undoArray.length;
  }

  rollback(mark: number): void {
    for (let at = this.undoArray.length - 1; at >= mark; at--) {
      (this.undoArray[at] as Int32Array)[this.undoIndex[at] as number] = this.undoValue[at] as number;
    }
    this.undoArray.length = this.undoIndex.length = this.undoValue.length = mark;
  }

  plainRead(actor: number, word: number): number {
    this.demandOrder(actor, word, PLAIN_WRITE, 'plain read', 'plain write');
    this.demandOrder(actor, word, ATOMIC_WRITE, 'plain read', 'atomic write');
    this.touch(actor, word, PLAIN_READ);
    return this.words[word];
  }

  plainWrite(actor: number, word: number, value: number): void {
    this.demandOrder(actor, word, PLAIN_READ, 'plain write', 'plain read');
    this.demandOrder(actor, word, PLAIN_WRITE, 'plain write', 'plain write');
    this.demandOrder(actor, word, ATOMIC_READ, 'plain write', 'atomic read');
    this.demandOrder(actor, word, ATOMIC_WRITE, 'plain write', 'atomic write');
    this.touch(actor, word, PLAIN_WRITE);
    this.change(word, value);
  }

  atomicRead(actor: number, word: number): number {
    this.demandOrder(actor, word, PLAIN_WRITE, 'atomic read', 'plain write');
    this.touch(actor, word, ATOMIC_READ);
    for (let other = 0; other < this.actors; other++) {
      this.raise(actor * this.actors + other, this.released[word * this.actors + other]);
    }
    return this.words[word];
  }

  atomicWrite(actor: number, word: number, value: number): void {
    this.demandOrder(actor, word, PLAIN_READ, 'atomic write', 'plain read');
    this.demandOrder(actor, word, PLAIN_WRITE, 'atomic write', 'plain write');
    this.touch(actor, word, ATOMIC_WRITE);
    for (let other = 0; other < this.actors; other++) {
      this.set(this.released, word * this.actors + other, this.clocks[actor * this.actors + other]);
    }
    this.set(this.clocks, actor * this.actors + actor, this.clocks[actor * this.actors + actor] + 1);
    this.change(word, value);
  }

  private change(word: number, value: number): void {
    const old = this.words[word];
    if (old === value) return;
    this.set(this.valueHash, 0, this.valueHash[0] ^ mix(word, old) ^ mix(word, value));
    this.set(this.valueHash, 1, this.valueHash[1] ^ mix(~word, old) ^ mix(~word, value));
    this.set(this.words, word, value);
  }

  /**
   * Hash of everything in here that can matter later: values, and who knows of whose plain accesses. Clocks count only
   * in comparison with the clock of a plain access, so their ranks among those are hashed, not the clocks.
   */
  hash(half: 0 | 1): number {
    let hash = this.valueHash[half];
    for (let other = 0; other < this.actors; other++) {
      this.rank(other);
      const salt = (other << 8) | (half << 16);
      for (let actor = 0; actor < this.actors; actor++) {
        if (actor !== other) hash ^= mix(salt + actor, this.ranks[this.clocks[actor * this.actors + other]]);
      }
      for (const word of this.active) {
        const place = word * KINDS * this.actors + other;
        const known = this.ranks[this.released[word * this.actors + other]];
        const own = this.ranks[this.touched[place]] * 64 + this.ranks[this.touched[place + this.actors]];
        if (known + own !== 0) hash ^= mix(mix(salt + 77, word), own * 64 + known);
      }
    }
    return hash;
  }

  /** Ranks of all clocks of one actor among the clocks of its plain accesses. */
  private rank(other: number): void {
    const end = this.clocks[other * this.actors + other] + 1;
    this.ranks.fill(0, 0, end);
    for (const word of this.active) {
      const place = word * KINDS * this.actors + other;
      this.ranks[this.touched[place + PLAIN_READ * this.actors]] = 1;
      this.ranks[this.touched[place + PLAIN_WRITE * this.actors]] = 1;
    }
    this.ranks[0] = 0;
    for (let clock = 1; clock < end; clock++) this.ranks[clock] += this.ranks[clock - 1];
  }

  /**
   * What `earlier` did happens before what `later` does: a thread's end is known before somebody cleans up after it.
   */
  order(earlier: number, later: number): void {
    for (let other = 0; other < this.actors; other++) {
      this.raise(later * this.actors + other, this.clocks[earlier * this.actors + other]);
    }
  }

  private raise(place: number, clock: number): void {
    if (clock > this.clocks[place]) this.set(this.clocks, place, clock);
  }

  private touch(actor: number, word: number, kind: number): void {
    if (this.isActive[word] === 0) {
      this.isActive[word] = 1;
      this.active.push(word);
    }
    this.set(this.touched, (word * KINDS + kind) * this.actors + actor, this.clocks[actor * this.actors + actor]);
  }

  private demandOrder(actor: number, word: number, kind: number, mine: string, theirs: string): void {
    for (let other = 0; other < this.actors; other++) {
      if (other === actor) continue;
      const clock = this.touched[(word * KINDS + kind) * this.actors + other];
      if (clock <= this.clocks[actor * this.actors + other]) continue;
      throw new Race(`race on ${this.nameOf(word)}: ${mine} of actor ${actor} and ${theirs} of actor ${other}`);
    }
  }
}

function wordHandler(first: number, gate: Gate): ProxyHandler<Int32Array> {
  return {
    get(target, key) {
      const index = indexOf(key);
      if (index >= 0) return index < target.length ? gate.plainRead(first + index) : undefined;
      if (key === 'length') return target.length;
      throw new Error(`the explorer does not follow Int32Array.${String(key)}`);
    },
    set(target, key, value) {
      const index = indexOf(key);
      if (!(index >= 0 && index < target.length)) throw new Error(`plain write outside the region: ${String(key)}`);
      gate.plainWrite(first + index, value | 0);
      return true;
    },
  };
}

function byteHandler(first: number, gate: Gate): ProxyHandler<Uint8Array> {
  return {
    get(target, key) {
      const index = indexOf(key);
      if (index >= 0) return (gate.plainRead(first + (index >> 2)) >>> ((index & 3) * 8)) & 255;
      if (key === 'length') return target.length;
      throw new Error(`the explorer does not follow Uint8Array.${String(key)}`);
    },
    set() {
      throw new Error('the explorer follows writes of words only');
    },
  };
}

function indexOf(key: string | symbol): number {
  return typeof key === 'string' && key.length < 10 ? Number(key) : Number.NaN;
}

/** Mixes a value into a 32-bit hash. */
export function mix(hash: number, value: number): number {
  let h = Math.imul(hash ^ value, 0x01000193);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}
