// The judge of one consumer group: books of what was sent, delivered, handled and acknowledged go in, everything that
// contradicts a promise comes out. It knows nothing of the broker.
//
//   lost       acknowledged by the broker, and neither handled nor among the dead letters
//   again      delivered, or made a dead letter, after its acknowledgement was answered
//   overtaken  delivered while an earlier message of its key was neither handled nor given up, or behind it
//   doubled    among the dead letters twice
//   phantom    delivered, and never sent
//
// What is handled and not acknowledged may come again: at least once is promised.
import { Findings } from './findings.ts';

export type GroupAnomaly = 'lost' | 'again' | 'overtaken' | 'doubled' | 'phantom';

interface Sent {
  readonly id: string;
  /** Its place among the messages of its key. */
  readonly turn: number;
  /** All messages of its key, in the order in which they were sent; undefined: it has no key. */
  readonly line: Line | undefined;
  /** The broker has acknowledged it. */
  kept: boolean;
  /** Where it stood when it was delivered last. */
  place: string;
  deliveries: number;
  handled: boolean;
  /** Its last attempt failed. */
  gaveUp: boolean;
  acked: boolean;
  dead: boolean;
}

/** Messages of one key. */
interface Line {
  readonly messages: Sent[];
  /** The newest that was delivered. */
  newest: number;
  /** Everything before this turn was handled or given up. */
  settled: number;
}

export class GroupChecker extends Findings<GroupAnomaly> {
  readonly name: string;
  private readonly sent = new Map<string, Sent>();
  private readonly lines = new Map<string, Line>();
  /** Others were delivered before these were dealt with: no fault if they are found to be dead letters. */
  private readonly suspects = new Map<Sent, string>();
  deliveries = 0;
  acks = 0;
  dead = 0;
  /** Acknowledged by the broker, and not handled yet. */
  waiting = 0;
  /** Of these, those whose last attempt has not failed either. */
  open = 0;

  constructor(name: string) {
    super();
    this.name = name;
  }

  /** Before it is sent. Messages of one key are sent in the order of these calls. */
  sending(id: string, key: string | undefined): void {
    const line = key === undefined ? undefined : this.line(key);
    const turn = line?.messages.length ?? 0;
    const state = { kept: false, place: '', deliveries: 0, handled: false, gaveUp: false, acked: false, dead: false };
    const sent = { id, turn, line, ...state };
    line?.messages.push(sent);
    this.sent.set(id, sent);
  }

  /** The broker has it. */
  kept(id: string): void {
    const sent = this.sent.get(id) as Sent;
    sent.kept = true;
    if (!sent.handled) this.waiting++;
    if (!isDealtWith(sent)) this.open++;
  }

  /** A handler gets it, as what stands there in the topic. */
  delivered(id: string, place: string): void {
    const sent = this.sent.get(id);
    this.deliveries++;
    if (sent === undefined) {
      this.found('phantom', `${this.name}: ${id} was delivered and never sent`);
      return;
    }
    sent.deliveries++;
    if (sent.acked)
      this.found('again', `${this.name}: ${id} of ${place} came after it was acknowledged at ${sent.place}`);
    sent.place = place;
    if (sent.line) this.inOrder(sent, sent.line);
  }

  /** A handler was done with it. */
  handled(id: string): void {
    const sent = this.sent.get(id);
    if (sent === undefined || sent.handled) return;
    if (sent.kept && !isDealtWith(sent)) this.open--;
    sent.handled = true;
    if (sent.kept) this.waiting--;
  }

  /** Its last attempt failed: others of its key may go on. */
  gaveUp(id: string): void {
    const sent = this.sent.get(id);
    if (sent === undefined) return;
    if (sent.kept && !isDealtWith(sent)) this.open--;
    sent.gaveUp = true;
  }

  /**
   * The acknowledgement of it was answered. Before the broker has said that it has the message that means nothing: a
   * crash may take it back, and its producer sends it again.
   */
  acked(id: string): void {
    const sent = this.sent.get(id);
    if (sent === undefined || sent.acked || !sent.kept) return;
    sent.acked = true;
    this.acks++;
  }

  /** It stands among the dead letters. */
  isDead(id: string): void {
    const sent = this.sent.get(id);
    if (sent === undefined) this.found('phantom', `${this.name}: ${id} is a dead letter and was never sent`);
    else if (sent.dead) this.found('doubled', `${this.name}: ${id} is a dead letter twice`);
    else {
      sent.dead = true;
      this.dead++;
      if (sent.acked) this.found('again', `${this.name}: ${id} is a dead letter and was acknowledged before`);
    }
  }

  /** The end: everything was delivered that will be, and all dead letters are known. */
  finish(): void {
    for (const { id, kept, handled, dead, deliveries } of this.sent.values()) {
      if (!kept || handled || dead) continue;
      this.found('lost', `${this.name}: ${id} was stored, delivered ${deliveries} times and is nowhere`);
    }
    for (const [earlier, text] of this.suspects) if (!earlier.dead) this.found('overtaken', text);
  }

  private line(key: string): Line {
    let line = this.lines.get(key);
    if (line === undefined) {
      line = { messages: [], newest: -1, settled: 0 };
      this.lines.set(key, line);
    }
    return line;
  }

  private inOrder(sent: Sent, line: Line): void {
    const { messages, newest } = line;
    if (sent.turn < newest && sent.deliveries === 1) {
      const text = `${this.name}: ${sent.id} came for the first time behind ${messages[newest].id} of its key`;
      this.found('overtaken', text);
    }
    line.newest = Math.max(newest, sent.turn);
    while (line.settled < sent.turn && isDealtWith(messages[line.settled])) line.settled++;
    for (let turn = line.settled; turn < sent.turn; turn++) {
      const earlier = messages[turn];
      if (isDealtWith(earlier) || earlier.deliveries === 0 || this.suspects.has(earlier)) continue;
      this.suspects.set(earlier, `${this.name}: ${sent.id} came while ${earlier.id} of its key was not dealt with`);
    }
  }
}

function isDealtWith({ handled, gaveUp }: Sent): boolean {
  return handled || gaveUp;
}
