// What has to be looked at in time for sessions of a front end: hello, acknowledgements, sockets that are congested.
import type { Session } from './session.ts';

/** Sends of a socket that did not drain are looked at again this often. */
const DRAIN_LOOK_MS = 100;

export class Sessions {
  /** Binary sessions that have not said hello, in the order in which they came, and until when. */
  private readonly strangers = new Map<Session, number>();
  private readonly stuck = new Set<Session>();
  private acking: Session[] = [];
  private lookedAt = 0;

  remove(session: Session): void {
    this.strangers.delete(session);
    this.stuck.delete(session);
  }

  /** The session must say hello until then. */
  expectHello(session: Session, deadlineMs: number): void {
    this.strangers.set(session, deadlineMs);
  }

  welcomed(session: Session): void {
    this.strangers.delete(session);
  }

  acksDue(session: Session): void {
    this.acking.push(session);
  }

  congested(session: Session): void {
    this.stuck.add(session);
  }

  drained(session: Session): void {
    this.stuck.delete(session);
    session.drained();
  }

  /** Sends the acknowledgements of this turn: one frame for each session. HOT */
  flushAcks(): void {
    if (this.acking.length === 0) return;
    const due = this.acking;
    this.acking = [];
    for (let i = 0; i < due.length; i++) due[i].sendAcks();
  }

  housekeep(nowMs: number): void {
    for (const [session, deadline] of this.strangers) {
      if (deadline > nowMs) break;
      this.strangers.delete(session);
      session.close('hello-timeout');
    }
    if (nowMs - this.lookedAt < DRAIN_LOOK_MS) return;
    this.lookedAt = nowMs;
    for (const session of this.stuck) {
      session.lookForDrain();
      if (!session.congested) this.stuck.delete(session);
    }
  }
}
