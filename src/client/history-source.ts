// What a consumer in process reads out of the log: the past of one partition, chunk by chunk and one chunk ahead, until
// its ring has what comes next. Chunks are copied out of the lane into pooled memory: a handler may take its time.
import { READ_CHUNK_BYTES } from '../../native-layout/store.ts';
import { CODES } from '../base/codes.ts';
import { copyBytes } from '../memory/copy.ts';
import { BatchView } from '../record/batch-view.ts';
import type { Answered, History, HistoryAnswer } from '../thread/history.ts';
import type { GapReason } from '../wire/commands.ts';
import { type PartitionCursor, type RingConsumer, STOP } from './consumer.ts';

/** What is used of a participant's line to the log reader. */
export type HistoryReads = Pick<History, 'read' | 'locate' | 'forget'>;

/** Memory of one chunk. */
interface Chunk {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** With thousands of partitions that catch up at the same time: what each of them may hold at least. */
const CHUNK_MIN_BYTES = 16 * 1024;
/** What all partitions that are catching up may hold together; more only if there are more than 4,096 of them. */
const POOL_BYTES = 64 * 1024 * 1024;
/** Chunks of one partition: one is handed on, one waits or is under way. */
const PIECES_MAX = 2;
/** Empty chunks of one size that are kept. */
const SPARES_MAX = 8;

/** Chunks of one thread: used again, and smaller when many partitions catch up at the same time. */
export class ChunkPool {
  /** Sources that read the log now. */
  reading = 0;
  private readonly spares = new Map<number, Chunk[]>();

  /** Bytes that one source should ask for. */
  get share(): number {
    const share = Math.floor(POOL_BYTES / (PIECES_MAX * Math.max(1, this.reading)));
    return Math.max(CHUNK_MIN_BYTES, Math.min(share, READ_CHUNK_BYTES));
  }

  /** Chunks that one source may have: none ahead where there are so many that they would not fit. */
  get piecesMax(): number {
    return this.reading * PIECES_MAX * CHUNK_MIN_BYTES > POOL_BYTES ? 1 : PIECES_MAX;
  }

  take(lengthBytes: number): Chunk {
    let size = CHUNK_MIN_BYTES;
    while (size < lengthBytes) size *= 2;
    const spare = this.spares.get(size)?.pop();
    if (spare) return spare;
    const buffer = new ArrayBuffer(size);
    return { bytes: new Uint8Array(buffer), words: new Int32Array(buffer) };
  }

  give(chunk: Chunk): void {
    const size = chunk.bytes.length;
    // Larger ones held a batch that is larger than a chunk: they are rare.
    if (size > READ_CHUNK_BYTES) return;
    const spares = this.spares.get(size);
    if (spares === undefined) this.spares.set(size, [chunk]);
    else if (spares.length < SPARES_MAX) spares.push(chunk);
  }
}

/** Batches to hand on, or (without a chunk) offsets that the log does not have: up to `to`. */
interface Piece {
  readonly chunk: Chunk | undefined;
  at: number;
  readonly end: number;
  readonly to: number;
  readonly reason: GapReason;
}

/** Hears of what it does. */
export interface HistoryHooks {
  /** Something came: the subscription should be drained. */
  wake(): void;
  /** The log does not give what stands at an offset, and says why, once: it is asked again every now and then. */
  refused(status: number, offset: number): void;
}

export class HistorySource {
  private readonly log: HistoryReads;
  private readonly pool: ChunkPool;
  private readonly topicId: number;
  private readonly partition: number;
  private readonly hooks: HistoryHooks;
  private readonly view = new BatchView();
  private readonly pieces: Piece[] = [];
  private reading = false;
  /** Number of the request under way; 0: none. */
  private request = 0;
  /** Offset to ask for next. */
  private next = 0;
  /** It was told already that the log refuses. */
  private refused = false;
  /** The log had nothing, or could not be asked: rouse() tries again. */
  private resting = false;

  /** `partition` is the number in the topic. */
  constructor(log: HistoryReads, pool: ChunkPool, topicId: number, partition: number, hooks: HistoryHooks) {
    this.log = log;
    this.pool = pool;
    this.topicId = topicId;
    this.partition = partition;
    this.hooks = hooks;
  }

  /** True between start() and stop(). HOT */
  get active(): boolean {
    return this.reading;
  }

  /** True if no chunk is begun: the ring may take over where the consumer stands. */
  get between(): boolean {
    const first = this.pieces.at(0);
    return first === undefined || first.at === 0;
  }

  /** Reads from an offset on. */
  start(offset: number): void {
    if (!this.reading) this.pool.reading++;
    this.reading = true;
    this.next = offset;
    this.resting = false;
    this.fill();
  }

  /** The ring has what comes next, or nobody wants it any more. */
  stop(): void {
    if (!this.reading) return;
    this.reading = false;
    this.pool.reading--;
    if (this.request !== 0) this.log.forget(this.request);
    this.request = 0;
    for (const { chunk } of this.pieces.splice(0)) if (chunk) this.pool.give(chunk);
  }

  /** Every now and then, and with every notice: asks again after the log had nothing or its lane was full. */
  rouse(): void {
    if (!this.reading || !this.resting) return;
    this.resting = false;
    this.fill();
  }

  /**
   * Hands on one chunk or what the consumer takes of it, or tells of one gap. Returns how much it did; 0: there is
   * nothing, or the consumer has enough.
   */
  handOn(consumer: RingConsumer<unknown>, cursor: PartitionCursor): number {
    const piece = this.pieces.at(0);
    if (piece === undefined) return 0;
    if (piece.chunk === undefined) {
      this.finish(piece);
      consumer.lost(cursor, piece.to, piece.reason);
      return 1;
    }
    const { at, end, chunk } = piece;
    const view = this.view.span(chunk.bytes, chunk.words, at, end - at);
    while (view.next()) {
      if (consumer.deliver(view, cursor) !== STOP) continue;
      piece.at = view.at;
      return view.at - at;
    }
    this.finish(piece);
    return end - at;
  }

  private finish(piece: Piece): void {
    this.pieces.shift();
    if (piece.chunk) this.pool.give(piece.chunk);
    this.fill();
  }

  /** Asks for the next chunk if there is room for it. */
  private fill(): void {
    if (!this.reading || this.resting || this.request !== 0 || this.pieces.length >= this.pool.piecesMax) return;
    this.request = this.log.read(this.topicId, this.partition, this.next, this.pool.share, this.answered);
    if (this.request === 0) this.resting = true;
  }

  private readonly answered: Answered = (answer) => {
    this.request = 0;
    if (!this.reading) return;
    if (!this.take(answer)) this.resting = true;
    this.fill();
    this.hooks.wake();
  };

  /** False: that brought nothing. */
  private take(answer: HistoryAnswer): boolean {
    const { status, nextOffset, oldestOffset, length } = answer;
    if (status === CODES.ok.number) {
      if (length === 0 || nextOffset <= this.next) return false;
      const chunk = this.pool.take(length);
      copyBytes(chunk.bytes, 0, answer.bytes, answer.at, length);
      return this.add({ chunk, at: 0, end: length, to: nextOffset, reason: 'expired' });
    }
    if (status === CODES['offset-out-of-range'].number) return this.miss(oldestOffset, 'expired');
    if (status === CODES['log-damaged'].number) return this.miss(nextOffset, 'damaged');
    if (status !== CODES['log-busy'].number && !this.refused) {
      this.refused = true;
      this.hooks.refused(status, this.next);
    }
    return false;
  }

  /** What lies before `to` is not in the log. */
  private miss(to: number, reason: GapReason): boolean {
    return to > this.next && this.add({ chunk: undefined, at: 0, end: 0, to, reason });
  }

  private add(piece: Piece): true {
    this.pieces.push(piece);
    this.next = piece.to;
    return true;
  }
}
