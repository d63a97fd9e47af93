// The threads that call the coordinator: their lanes, and answers that could not be sent yet.
//
// Who writes: a client's lane to the coordinator, the client; the lane back, the coordinator's thread alone.
// I1  A lane is closed when its seat is dead and everything in it was taken: only then can the seat be taken again.
// I2  An answer goes to the holder of the seat who asked, and to no later one.
// I3  Every call has exactly one answer.
// I4  Calls that a predecessor of this thread was asked are dropped: their callers are told that it has ended.
import { SEAT_COORDINATOR, SEAT_STATES, SEATS_MAX } from '../../native-layout/control.ts';
import { RingmqError } from '../base/codes.ts';
import { Bells } from '../memory/bell.ts';
import { LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { laneBack, laneTo, type Regions } from '../memory/regions.ts';
import { closeLane, openLanes, seatGeneration, seatState } from '../memory/seats.ts';
import { isForGeneration, takeFrame, tryPutFrame } from '../thread/control-lane.ts';
import { decodeFrame, encodeFrame } from '../wire/codec.ts';
import type { Command, CommandOf } from '../wire/commands.ts';

/** One calling thread. */
interface CallingSeat {
  readonly seat: number;
  readonly there: LaneReader;
  readonly back: LaneWriter;
  /** Answers that the full lane back did not take, oldest first. */
  readonly unsent: Uint8Array[];
  /** Calls without an answer. */
  open: number;
  /** Its thread has ended. */
  gone: boolean;
}

/** Where the answer to a call goes. */
export interface CallReply {
  readonly seat: number;
  reply(result: string, payload: Uint8Array): void;
  refuse(error: RingmqError): void;
}

export interface CallLaneEvents {
  call(command: CommandOf<'call'>, reply: CallReply): void;
  /** The thread at this seat has ended, and everything that it asked was taken. */
  seatLeft(seat: number): void;
}

/** Calls that one seat is served in a turn. */
const CALLS_PER_TURN = 64;
/** Calls of one seat that wait for an answer. */
const OPEN_MAX = 65_536;
/** The envelope of a lane's frame, and its alignment. */
const ENVELOPE_ROOM_BYTES = 16;
const NO_BYTES = new Uint8Array(0);

export class CallLanes {
  private readonly regions: Regions;
  private readonly bells: Bells;
  private readonly events: CallLaneEvents;
  private readonly generation: number;
  private readonly bySeat: (CallingSeat | undefined)[] = new Array(SEATS_MAX).fill(undefined);

  constructor(regions: Regions, events: CallLaneEvents) {
    this.regions = regions;
    this.bells = new Bells(regions.control);
    this.events = events;
    this.generation = seatGeneration(regions.control, SEAT_COORDINATOR);
  }

  /** Takes calls of all seats. Returns how many. */
  work(): number {
    let did = 0;
    for (let half = 0; half < 2; half++) {
      let mask = openLanes(this.regions.control, SEAT_COORDINATOR, half as 0 | 1);
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask);
        mask &= mask - 1;
        did += this.serve(this.at(half * 32 + bit));
      }
    }
    return did;
  }

  private at(seat: number): CallingSeat {
    let one = this.bySeat[seat];
    if (one === undefined) {
      const { laneWords, laneBytes, sizes } = this.regions;
      const there = new LaneReader(laneWords, laneBytes, laneTo(sizes, seat, SEAT_COORDINATOR));
      const back = new LaneWriter(laneWords, laneBytes, laneBack(sizes, seat, SEAT_COORDINATOR));
      one = { seat, there, back, unsent: [], open: 0, gone: false };
      this.bySeat[seat] = one;
    }
    return one;
  }

  private serve(one: CallingSeat): number {
    const isDead = seatState(this.regions.control, one.seat) === SEAT_STATES.dead;
    if (isDead) one.unsent.length = 0;
    let served = this.sendUnsent(one);
    // Who does not take its answers is asked for no more calls.
    while (one.unsent.length === 0 && served < CALLS_PER_TURN) {
      const at = one.there.look();
      if (at === NONE) break;
      const { correlation, command } = decodeFrame(takeFrame(one.there, at));
      one.there.consume();
      one.there.release();
      served++;
      if (command.type === 'call' && isForGeneration(correlation, this.generation))
        this.take(one, correlation, command);
    }
    if (isDead && served === 0 && !one.there.hasNews) this.close(one);
    return served;
  }

  private take(one: CallingSeat, correlation: number, command: CommandOf<'call'>): void {
    const reply = new SeatReply(one.seat, (answer) => this.answer(one, correlation, answer));
    one.open++;
    if (one.open > OPEN_MAX) reply.refuse(new RingmqError('busy', 'too many unanswered calls'));
    else this.events.call(command, reply);
  }

  private answer(one: CallingSeat, correlation: number, command: Command): void {
    one.open--;
    if (one.gone) return;
    const frame = this.frameOf(one, correlation, command);
    if (one.unsent.length > 0 || !this.trySend(one, frame)) one.unsent.push(frame);
  }

  /** An answer that no lane takes becomes a refusal. */
  private frameOf(one: CallingSeat, correlation: number, command: Command): Uint8Array {
    const frame = encodeFrame({ correlation, command });
    if (frame.length + ENVELOPE_ROOM_BYTES <= one.back.frameMax) return frame;
    const text = `the answer has ${frame.length} bytes, and ${one.back.frameMax} are the most: ask for less at once`;
    return encodeFrame({ correlation, command: { type: 'refused', code: 'frame-too-large', text } });
  }

  private trySend(one: CallingSeat, frame: Uint8Array): boolean {
    if (!tryPutFrame(one.back, frame)) return false;
    one.back.publish();
    this.bells.ring(one.seat);
    return true;
  }

  private sendUnsent(one: CallingSeat): number {
    let sent = 0;
    while (sent < one.unsent.length && this.trySend(one, one.unsent[sent])) sent++;
    if (sent > 0) one.unsent.splice(0, sent);
    return sent;
  }

  private close(one: CallingSeat): void {
    one.gone = true;
    this.bySeat[one.seat] = undefined;
    this.events.seatLeft(one.seat);
    closeLane(this.regions.control, SEAT_COORDINATOR, one.seat);
  }
}

class SeatReply implements CallReply {
  readonly seat: number;
  private send: ((answer: Command) => void) | undefined;

  constructor(seat: number, send: (answer: Command) => void) {
    this.seat = seat;
    this.send = send;
  }

  reply(result: string, payload: Uint8Array = NO_BYTES): void {
    this.answer({ type: 'call-reply', result, payload });
  }

  refuse({ code, message }: RingmqError): void {
    this.answer({ type: 'refused', code, text: message });
  }

  /** I3 */
  private answer(command: Command): void {
    const { send } = this;
    this.send = undefined;
    send?.(command);
  }
}
