// Calls of producers that wait to be asked about half messages. One producer of a group is asked at a time; of several,
// the one that has waited longest.
import type { RingmqError } from '../base/codes.ts';
import { type Answered, CALL_WAIT_MAX_MS } from '../wire/services.ts';

type Checks = Answered<'transaction-checks'>;

interface WaitingCall {
  readonly seat: number;
  readonly until: number;
  readonly answer: (checks: Checks) => void;
  readonly refuse: (error: RingmqError) => void;
}

/** More calls than that of one group: the oldest is answered with nothing. */
const WAITING_MAX = 1_024;

export class TransactionChecks {
  private readonly waiting = new Map<string, WaitingCall[]>();

  /** Groups with a producer that can be asked. */
  get groups(): ReadonlySet<string> {
    return new Set(this.waiting.keys());
  }

  /** Waits for checks, at most until a time. */
  wait(group: string, seat: number, until: number): Promise<Checks> {
    return new Promise((answer, refuse) => {
      const calls = this.waiting.get(group);
      if (calls === undefined) this.waiting.set(group, [{ seat, until, answer, refuse }]);
      else {
        calls.push({ seat, until, answer, refuse });
        if (calls.length > WAITING_MAX) calls.shift()?.answer({ result: { checks: [] } });
      }
    });
  }

  /** Takes the call that has waited longest out; undefined: nobody waits (any more). */
  take(group: string): ((checks: Checks) => void) | undefined {
    const calls = this.waiting.get(group);
    const call = calls?.shift();
    if (calls?.length === 0) this.waiting.delete(group);
    return call?.answer;
  }

  expire(nowMs: number): void {
    // One that lies further ahead is from before the clock was set back.
    this.drop(({ until }) => until <= nowMs || until - nowMs > CALL_WAIT_MAX_MS).forEach(({ answer }) => {
      answer({ result: { checks: [] } });
    });
  }

  /** Nobody hears the answers to calls of this seat. */
  seatLeft(seat: number): void {
    for (const { answer } of this.drop((call) => call.seat === seat)) answer({ result: { checks: [] } });
  }

  refuseAll(error: RingmqError): void {
    for (const { refuse } of this.drop(() => true)) refuse(error);
  }

  private drop(isOver: (call: WaitingCall) => boolean): WaitingCall[] {
    const over: WaitingCall[] = [];
    for (const [group, calls] of this.waiting) {
      const left = calls.filter((call) => !isOver(call));
      if (left.length === calls.length) continue;
      over.push(...calls.filter(isOver));
      if (left.length === 0) this.waiting.delete(group);
      else this.waiting.set(group, left);
    }
    return over;
  }
}
