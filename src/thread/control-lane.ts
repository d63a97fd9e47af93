// A thread's line to the NameServer: commands there, answers and news of routes back, over two lanes.
import { SEAT_NAMESERVER } from '../../native-layout/control.ts';
import { align8 } from '../../native-layout/layout.ts';
import { RingmqError } from '../base/codes.ts';
import type { Bells } from '../memory/bell.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { laneBack, laneTo, type Regions } from '../memory/regions.ts';
import { decodeFrame, encodeFrame } from '../wire/codec.ts';
import type { Command, Frame } from '../wire/commands.ts';

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

interface Waiting {
  resolve(command: Command): void;
  reject(error: Error): void;
  readonly deadline: number;
}

/** RocketMQ's client waits 3 s for an answer of its NameServer. */
const ANSWER_TIMEOUT_MS = 3_000;
const WAITING_MAX = 65_536;

export class ControlLane {
  private readonly there: LaneWriter;
  private readonly back: LaneReader;
  private readonly bells: Bells;
  private readonly waiting = new Map<number, Waiting>();
  private correlation = 0;
  /** Hears commands that answer nothing: news of routes. */
  onNews: (command: Command) => void = () => {};

  constructor(regions: Regions, seat: number, bells: Bells) {
    this.bells = bells;
    const { laneWords, laneBytes, sizes } = regions;
    this.there = new LaneWriter(laneWords, laneBytes, laneTo(sizes, seat, SEAT_NAMESERVER));
    this.back = new LaneReader(laneWords, laneBytes, laneBack(sizes, seat, SEAT_NAMESERVER));
    while (this.back.look() !== NONE) this.back.consume();
    this.back.release();
  }

  /** Number of requests without an answer yet. */
  get pending(): number {
    return this.waiting.size;
  }

  /** Asks the NameServer. Rejects with what it refuses with, or `timeout` after 3 s. */
  request(command: Command, nowMs: number): Promise<Command> {
    if (this.waiting.size >= WAITING_MAX)
      return Promise.reject(new RingmqError('busy', 'too many unanswered requests'));
    this.correlation = (this.correlation + 1) >>> 0 || 1;
    const correlation = this.correlation;
    const frame: Frame = { correlation, command };
    if (!tryPutFrame(this.there, encodeFrame(frame))) {
      return Promise.reject(new RingmqError('lane-full', 'the lane to the NameServer is full'));
    }
    this.there.publish();
    this.bells.ring(SEAT_NAMESERVER);
    return new Promise((resolve, reject) => {
      this.waiting.set(correlation, { resolve, reject, deadline: nowMs + ANSWER_TIMEOUT_MS });
    });
  }

  /** Takes answers. Returns how many. */
  work(): number {
    let taken = 0;
    for (let at = this.back.look(); at !== NONE; at = this.back.look()) {
      const { correlation, command } = decodeFrame(takeFrame(this.back, at));
      this.back.consume();
      this.back.release();
      this.settle(correlation, command);
      taken++;
    }
    return taken;
  }

  /** Gives up on requests that were not answered in time. */
  expire(nowMs: number): void {
    for (const [correlation, waiting] of this.waiting) {
      if (waiting.deadline > nowMs) continue;
      this.waiting.delete(correlation);
      waiting.reject(new RingmqError('timeout', 'the NameServer did not answer within 3 s'));
    }
  }

  /** Fails everything that waits. */
  close(): void {
    for (const waiting of this.waiting.values()) waiting.reject(new RingmqError('closed'));
    this.waiting.clear();
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
