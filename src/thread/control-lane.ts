// A thread's line to a server thread that answers commands: the NameServer (with news of routes) or the coordinator.
// Commands there and answers back, over two lanes.
import { SEAT_COORDINATOR, SEAT_NAMESERVER } from '../../native-layout/control.ts';
import { align8 } from '../../native-layout/layout.ts';
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { Bells } from '../memory/bell.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { laneBack, laneTo, type Regions } from '../memory/regions.ts';
import { seatGeneration } from '../memory/seats.ts';
import { decodeFrame, encodeFrame } from '../wire/codec.ts';
import type { Command, CommandType } from '../wire/commands.ts';

/** A lane frame around a command: int32 size, int32 unused, then the command frame. */
const ENVELOPE_BYTES = 8;

/** Writes one command frame into a lane. False if it is full. */
export function tryPutFrame(lane: LaneWriter, frame: Uint8Array): boolean {
  const length = align8(ENVELOPE_BYTES + frame.length);
  if (length > lane.frameMax) throw new RingmqError('frame-too-large', `a command of ${frame.length} bytes`);
  const at = lane.tryClaim(length);
  if (at === FULL) return false;
  lane.words[at >> 2] = length;
  lane.words[(at >> 2) + 1] = frame.length;
  lane.bytes.set(frame, at + ENVELOPE_BYTES);
  lane.commit(length);
  return true;
}

/** The command frame at byte `at` of a lane, as an owned copy. */
export function takeFrame(lane: LaneReader, at: number): Uint8Array {
  const length = lane.words[(at >> 2) + 1];
  const bytes = new Uint8Array(length);
  bytes.set(lane.bytes.subarray(at + ENVELOPE_BYTES, at + ENVELOPE_BYTES + length));
  return bytes;
}

/** Who answers. */
export interface LaneServer {
  readonly seat: number;
  readonly name: string;
  /** Milliseconds to wait for an answer, unless a request says otherwise. */
  readonly timeoutMs: number;
  /**
   * A successor does not answer what its predecessor was asked: such requests are refused with this code. Without one
   * it takes what lies in the lane; what its predecessor had taken out and not answered is lost.
   */
  readonly gone?: CodeName;
  /** Asking these twice, also behind later ones, does no harm: a successor is asked them again. */
  readonly repeatable?: ReadonlySet<CommandType>;
  /** Bytes of requests that wait here while the lane is full; 0: they are refused with `lane-full`. */
  readonly queueBytesMax: number;
}

/** RocketMQ's client waits 3 s for an answer of its NameServer. */
export const NAMESERVER: LaneServer = {
  seat: SEAT_NAMESERVER,
  name: 'the NameServer',
  timeoutMs: 3_000,
  repeatable: new Set<CommandType>(['route-request', 'topics-request', 'offsets-request']),
  queueBytesMax: 0,
};
export const COORDINATOR: LaneServer = {
  seat: SEAT_COORDINATOR,
  name: 'the coordinator',
  timeoutMs: 10_000,
  gone: 'coordinator-unavailable',
  queueBytesMax: 16 * 1024 * 1024,
};

/** Requests to a server with `gone` carry in their upper bits which of its threads they are for. */
const GENERATION_SHIFT = 24;
const COUNTER_MASK = (1 << GENERATION_SHIFT) - 1;

/** True if a request with this number was meant for the holder of the server's seat with this generation. */
export function isForGeneration(correlation: number, generation: number): boolean {
  return correlation >>> GENERATION_SHIFT === (generation & 0xff);
}

interface Waiting {
  resolve(command: Command): void;
  reject(error: Error): void;
  /** Only if it may be asked twice. */
  readonly command: Command | undefined;
  readonly deadline: number;
  readonly timeoutMs: number;
  /** Of the server's seat, when it was asked. */
  generation: number;
}

const WAITING_MAX = 65_536;

export class ControlLane {
  private readonly there: LaneWriter;
  private readonly back: LaneReader;
  private readonly bells: Bells;
  private readonly server: LaneServer;
  private readonly controlWords: Int32Array;
  private readonly waiting = new Map<number, Waiting>();
  /** Frames that the full lane did not take, oldest first. */
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  private counter = 0;
  /** Hears commands that answer nothing: news of routes. */
  onNews: (command: Command) => void = () => {};

  constructor(regions: Regions, seat: number, bells: Bells, server: LaneServer = NAMESERVER) {
    this.bells = bells;
    this.server = server;
    const { laneWords, laneBytes, sizes, control } = regions;
    this.controlWords = control;
    this.there = new LaneWriter(laneWords, laneBytes, laneTo(sizes, seat, server.seat));
    this.back = new LaneReader(laneWords, laneBytes, laneBack(sizes, seat, server.seat));
    while (this.back.look() !== NONE) this.back.consume();
    this.back.release();
  }

  /** Number of requests without an answer yet. */
  get pending(): number {
    return this.waiting.size;
  }

  /** Asks the server. Rejects with what it refuses with, or `timeout`. `nowMs`: of a clock that nobody sets. */
  async request(command: Command, nowMs: number, timeoutMs = this.server.timeoutMs): Promise<Command> {
    if (this.waiting.size >= WAITING_MAX) throw new RingmqError('busy', 'too many unanswered requests');
    const generation = this.generation;
    const correlation = this.nextCorrelation(generation);
    this.put(encodeFrame({ correlation, command }));
    const deadline = nowMs + timeoutMs;
    const kept = this.server.repeatable?.has(command.type) ? command : undefined;
    return new Promise((resolve, reject) => {
      this.waiting.set(correlation, { resolve, reject, command: kept, deadline, timeoutMs, generation });
    });
  }

  /** Takes answers, and sends what waited for room. Returns how many. */
  work(): number {
    let taken = 0;
    for (let at = this.back.look(); at !== NONE; at = this.back.look()) {
      const { correlation, command } = decodeFrame(takeFrame(this.back, at));
      this.back.consume();
      this.back.release();
      this.settle(correlation, command);
      taken++;
    }
    if (this.queue.length > 0) this.sendQueued();
    return taken;
  }

  /** Asks a successor again; gives up on what was not answered in time, or what only the dead one knew. */
  expire(nowMs: number): void {
    if (this.queue.length > 0) this.sendQueued();
    const { gone, name } = this.server;
    const present = this.generation;
    for (const [correlation, waiting] of this.waiting) {
      const isOther = waiting.generation !== present;
      const isGone = gone !== undefined && isOther;
      if (!isGone && waiting.deadline > nowMs) {
        if (isOther) this.askAgain(correlation, waiting, present);
        continue;
      }
      this.waiting.delete(correlation);
      const late = `${name} did not answer within ${waiting.timeoutMs / 1000} s`;
      waiting.reject(isGone ? new RingmqError(gone) : new RingmqError('timeout', late));
    }
  }

  /** Fails everything that waits. */
  close(): void {
    for (const waiting of this.waiting.values()) waiting.reject(new RingmqError('closed'));
    this.waiting.clear();
    this.queue = [];
    this.queuedBytes = 0;
  }

  /** The answer to the second one, if there are two, is heard as news that nobody waits for. */
  private askAgain(correlation: number, waiting: Waiting, generation: number): void {
    const { command } = waiting;
    if (command === undefined) return;
    try {
      this.put(encodeFrame({ correlation, command }));
      waiting.generation = generation;
    } catch (error) {
      // A full lane: the next time.
      if (!(error instanceof RingmqError)) throw error;
    }
  }

  private get generation(): number {
    return seatGeneration(this.controlWords, this.server.seat);
  }

  private nextCorrelation(generation: number): number {
    if (this.server.gone === undefined) {
      this.counter = (this.counter + 1) >>> 0 || 1;
      return this.counter;
    }
    let correlation: number;
    do {
      this.counter = (this.counter + 1) & COUNTER_MASK || 1;
      correlation = (((generation & 0xff) << GENERATION_SHIFT) | this.counter) >>> 0;
    } while (this.waiting.has(correlation));
    return correlation;
  }

  /** Throws `lane-full`, or `frame-too-large`. */
  private put(frame: Uint8Array): void {
    const { seat, name, queueBytesMax } = this.server;
    if (this.queue.length === 0 && tryPutFrame(this.there, frame)) {
      this.there.publish();
      this.bells.ring(seat);
      return;
    }
    if (align8(ENVELOPE_BYTES + frame.length) > this.there.frameMax) {
      throw new RingmqError('frame-too-large', `a command of ${frame.length} bytes`);
    }
    if (this.queuedBytes + frame.length > queueBytesMax) {
      throw new RingmqError('lane-full', `the lane to ${name} is full`);
    }
    this.queue.push(frame);
    this.queuedBytes += frame.length;
  }

  private sendQueued(): void {
    let sent = 0;
    while (sent < this.queue.length && tryPutFrame(this.there, this.queue[sent])) {
      this.queuedBytes -= this.queue[sent].length;
      sent++;
    }
    if (sent === 0) return;
    this.queue.splice(0, sent);
    this.there.publish();
    this.bells.ring(this.server.seat);
  }

  private settle(correlation: number, command: Command): void {
    const waiting = this.waiting.get(correlation);
    if (!waiting) {
      this.onNews(command);
      return;
    }
    this.waiting.delete(correlation);
    if (command.type === 'refused') waiting.reject(new RingmqError(command.code, command.text || undefined));
    else waiting.resolve(command);
  }
}
