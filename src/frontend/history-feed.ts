// Subscribers that are further back than a ring reaches: what they miss is read from the log, a chunk at a time, and
// sent to them until the ring has what comes next.
//
// I1  A session has one turn: one of its cursors, and with it at most one request under way or one chunk in memory.
// I2  Requests and chunks of all sessions together stay within HISTORY_MAX_BYTES. A chunk whose session takes nothing
//     is given up when others need the room: the log still has it.
// I3  A cursor gets the log's records in order, each once: chunks are asked for from `expected` on, and `expected`
//     moves with what was sent.
import { BATCH_PARTITION, BATCH_SIZE } from '../../native-layout/batch.ts';
import { CODES } from '../base/codes.ts';
import type { RingPlace } from '../memory/ring-writer.ts';
import { type History, type HistoryAnswer, logRefusal } from '../thread/history.ts';
import { type Archive, BLOCKED, type CatchUpOutcome, MORE, WAITING } from './catch-up.ts';
import { DELIVERY_MAX_BYTES, HISTORY_CHUNK_BYTES, HISTORY_CHUNK_MIN_BYTES, HISTORY_MAX_BYTES } from './config.ts';
import { type Cursor, trySendBehind } from './cursor.ts';
import type { PartitionFeed } from './feed.ts';
import type { Session } from './session.ts';
import { Span } from './span.ts';

/** The line to the log reader, as a Participant has it. */
export type LogLine = Pick<History, 'read' | 'locate' | 'forget'>;

/** Batches that were read and not sent yet. */
interface Chunk {
  readonly place: RingPlace;
  at: number;
  readonly end: number;
}

/** Whose turn it is in a session. */
interface Turn {
  readonly session: Session;
  cursor: Cursor;
  /** Number of the request under way; 0: none. */
  request: number;
  /** Bytes that the request may bring, or that the chunk has. */
  reserved: number;
  chunk: Chunk | undefined;
  /** The session did not take the chunk's next frame, and has not been tried since. */
  blocked: boolean;
  /** Answers in a row that brought nothing. */
  empty: number;
  /** The others of the session that read the log. */
  readonly others: Set<Cursor>;
}

/** Answers without anything after which a cursor pauses until housekeep(). */
const EMPTY_MAX = 3;
/** Of those who wait for room, so many are woken when some is given back. */
const WAKES = 8;
const OK = CODES.ok.number;
const OUT_OF_RANGE = CODES['offset-out-of-range'].number;
const DAMAGED = CODES['log-damaged'].number;
/** What the log says while nothing is wrong. */
const EXPECTED: ReadonlySet<number> = new Set([OK, OUT_OF_RANGE, DAMAGED, CODES['log-busy'].number]);

export class HistoryFeed implements Archive {
  private readonly line: LogLine;
  private readonly run: (cursor: Cursor) => void;
  private readonly budgetBytes: number;
  private readonly turns = new Map<Session, Turn>();
  /** They wait for memory, or for room in the lane. */
  private readonly hungry = new Set<Cursor>();
  /** The log had nothing for them: they ask again later. */
  private readonly pausing = new Set<Cursor>();
  /** They were told that the log refuses. */
  private readonly refused = new WeakSet<Cursor>();
  private readonly span = new Span();
  private reservedBytes = 0;

  /** `run`: the cursor may go on. */
  constructor(line: LogLine, run: (cursor: Cursor) => void, budgetBytes = HISTORY_MAX_BYTES) {
    this.line = line;
    this.run = run;
    this.budgetBytes = budgetBytes;
  }

  /** Bytes of requests and chunks. */
  get bytes(): number {
    return this.reservedBytes;
  }

  serve(feed: PartitionFeed, cursor: Cursor): CatchUpOutcome {
    const { session } = cursor;
    if (session.room <= 0) return BLOCKED;
    const turn = this.turnOf(session, cursor);
    if (turn.cursor !== cursor) {
      turn.others.add(cursor);
      return WAITING;
    }
    if (turn.chunk) return this.sendChunk(feed, turn, turn.chunk);
    if (turn.request !== 0 || this.pausing.has(cursor)) return WAITING;
    if (feed.tryLeaveLog(cursor)) {
      this.handOver(turn);
      return MORE;
    }
    return this.ask(feed, turn);
  }

  /** The cursor has left its feed. */
  leave(cursor: Cursor): void {
    this.hungry.delete(cursor);
    this.pausing.delete(cursor);
    const turn = this.turns.get(cursor.session);
    if (!turn) return;
    turn.others.delete(cursor);
    if (turn.cursor === cursor) this.handOver(turn);
  }

  /** Those who wait try again. Returns how many. */
  housekeep(): number {
    const tried = this.hungry.size + this.pausing.size;
    for (const waiting of [this.hungry, this.pausing]) {
      for (const cursor of waiting) {
        waiting.delete(cursor);
        this.run(cursor);
      }
    }
    return tried;
  }

  private turnOf(session: Session, cursor: Cursor): Turn {
    const known = this.turns.get(session);
    if (known) return known;
    const others = new Set<Cursor>();
    const turn = { session, cursor, request: 0, reserved: 0, chunk: undefined, blocked: false, empty: 0, others };
    this.turns.set(session, turn);
    return turn;
  }

  private ask(feed: PartitionFeed, turn: Turn): CatchUpOutcome {
    const { cursor } = turn;
    const share = Math.floor(this.budgetBytes / this.turns.size);
    const most = Math.max(HISTORY_CHUNK_MIN_BYTES, Math.min(HISTORY_CHUNK_BYTES, share));
    if (this.tryMakeRoom(most)) {
      turn.request = this.line.read(feed.topicId, feed.route.number, cursor.expected, most, (answer) =>
        this.answered(feed, turn, answer),
      );
      if (turn.request !== 0) this.reserve(turn, most);
    }
    if (turn.request === 0) this.hungry.add(cursor);
    return WAITING;
  }

  private answered(feed: PartitionFeed, turn: Turn, answer: HistoryAnswer): void {
    const { cursor } = turn;
    turn.request = 0;
    this.release(turn);
    if (this.take(feed, cursor, answer)) {
      turn.empty = 0;
      if (answer.length > 0) this.sendAnswer(feed, turn, answer);
    } else if (++turn.empty >= EMPTY_MAX) {
      this.tellRefusal(feed, cursor, answer.status);
      turn.empty = 0;
      this.pausing.add(cursor);
      // It comes back for its turn when it has paused.
      if (turn.others.size > 0) this.handOver(turn);
      return;
    }
    // Else it runs again when the session takes something.
    if (!turn.blocked) this.run(turn.cursor);
  }

  /** Tells what is missing. False if the answer brings the cursor no further. */
  private take(feed: PartitionFeed, cursor: Cursor, answer: HistoryAnswer): boolean {
    const { expected } = cursor;
    const { status, baseOffset, nextOffset, oldestOffset, length } = answer;
    if (status === OK) {
      if (length > 0) this.skip(feed, cursor, baseOffset, 'damaged');
      return length > 0 && nextOffset > expected;
    }
    if (status === OUT_OF_RANGE) this.skip(feed, cursor, oldestOffset, 'expired');
    if (status === DAMAGED) this.skip(feed, cursor, nextOffset, 'damaged');
    return cursor.expected > expected;
  }

  /** Once: the log does not give what stands there, and it is asked again every now and then. */
  private tellRefusal({ topic, route }: PartitionFeed, cursor: Cursor, status: number): void {
    if (EXPECTED.has(status) || this.refused.has(cursor)) return;
    this.refused.add(cursor);
    const { code, message } = logRefusal(status, topic, route.number, cursor.expected);
    cursor.session.refuse(0, code, message);
  }

  private skip(feed: PartitionFeed, cursor: Cursor, to: number, reason: 'expired' | 'damaged'): void {
    const from = cursor.expected;
    if (to <= from) return;
    // Inside a batch: the rest of it is wanted.
    cursor.start = to;
    cursor.nextOffset = to;
    feed.tellGap(cursor, from, to, reason);
  }

  /** Sends what the session takes at once, straight from the lane, and keeps the rest. */
  private sendAnswer(feed: PartitionFeed, turn: Turn, answer: HistoryAnswer): void {
    const { bytes, words, at, length } = answer;
    const chunk = { place: placeOf(bytes, words), at, end: at + length };
    restamp(words, at, at + length, feed.route.id);
    while (chunk.at < chunk.end && this.send(feed, turn.cursor, chunk));
    if (chunk.at < chunk.end) this.keep(turn, bytes.slice(chunk.at, chunk.end));
    else this.endTurn(turn);
  }

  private keep(turn: Turn, bytes: Uint8Array): void {
    turn.chunk = { place: placeOf(bytes, new Int32Array(bytes.buffer)), at: 0, end: bytes.length };
    turn.blocked = true;
    this.reserve(turn, bytes.length);
  }

  private sendChunk(feed: PartitionFeed, turn: Turn, chunk: Chunk): CatchUpOutcome {
    const { cursor } = turn;
    turn.blocked = !this.send(feed, cursor, chunk);
    if (turn.blocked) return BLOCKED;
    if (chunk.at < chunk.end) return MORE;
    this.release(turn);
    this.endTurn(turn);
    return turn.cursor === cursor ? MORE : WAITING;
  }

  /** One frame. False if the session does not take it. */
  private send(feed: PartitionFeed, cursor: Cursor, chunk: Chunk): boolean {
    const { session } = cursor;
    const { room } = session;
    if (room <= 0) return false;
    const { span } = this;
    const limit = Math.min(DELIVERY_MAX_BYTES, room);
    span.of(chunk.place, feed.topic, feed.route.number).cut(chunk.at, chunk.end - chunk.at, limit);
    if (!trySendBehind(span, cursor)) return false;
    chunk.at += span.advance;
    feed.sent(cursor, span);
    return true;
  }

  /** A chunk was sent: the session's others come first. */
  private endTurn(turn: Turn): void {
    if (turn.others.size === 0) return;
    turn.others.add(turn.cursor);
    this.handOver(turn);
  }

  /** The turn's cursor needs it no more. */
  private handOver(turn: Turn): void {
    if (turn.request !== 0) this.line.forget(turn.request);
    turn.request = 0;
    turn.empty = 0;
    this.release(turn);
    const [next] = turn.others;
    if (next === undefined) {
      this.turns.delete(turn.session);
      return;
    }
    turn.others.delete(next);
    turn.cursor = next;
    this.run(next);
  }

  private reserve(turn: Turn, lengthBytes: number): void {
    turn.reserved = lengthBytes;
    this.reservedBytes += lengthBytes;
  }

  private release(turn: Turn): void {
    this.reservedBytes -= turn.reserved;
    turn.reserved = 0;
    turn.chunk = undefined;
    turn.blocked = false;
    let wakes = WAKES;
    for (const cursor of this.hungry) {
      if (wakes-- === 0) break;
      this.hungry.delete(cursor);
      this.run(cursor);
    }
  }

  /** I2. */
  private tryMakeRoom(lengthBytes: number): boolean {
    if (this.reservedBytes + lengthBytes <= this.budgetBytes) return true;
    for (const turn of this.turns.values()) {
      // Not by its room: who keeps a little of it free, and never enough, would hold the memory for ever.
      if (turn.chunk === undefined || !turn.blocked) continue;
      this.release(turn);
      // Its cursors run again when the session takes something.
      this.turns.delete(turn.session);
      if (this.reservedBytes + lengthBytes <= this.budgetBytes) return true;
    }
    return this.reservedBytes === 0;
  }
}

/** Batches of a topic that the state had lost name the place in the partition table that it once had. */
function restamp(words: Int32Array, from: number, end: number, id: number): void {
  for (let at = from; at < end; at += words[(at + BATCH_SIZE) >> 2]) words[(at + BATCH_PARTITION) >> 2] = id;
}

function placeOf(bytes: Uint8Array, words: Int32Array): RingPlace {
  return { bytes, words, byte: 0, capacity: bytes.length };
}
