// The judge of messages that come once, later or not at all: delayed ones and transactions. It knows nothing of the
// broker.
//
//   lost      it was promised, and did not come
//   doubled   it came twice
//   early     it came before its time
//   unwanted  it came although it was taken back, or rolled back
//   phantom   it came, and nobody sent it
import { Findings } from './findings.ts';

export type OutcomeAnomaly = 'lost' | 'doubled' | 'early' | 'unwanted' | 'phantom';

interface Expected {
  /** `may`: nobody was told whether it is there. */
  fate: 'may' | 'must' | 'not';
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  came: number;
}

export class OutcomeChecker extends Findings<OutcomeAnomaly> {
  readonly name: string;
  private readonly expected = new Map<string, Expected>();
  /** How long after its time the last one came, in milliseconds. */
  lateMs = 0;
  came = 0;

  constructor(name: string) {
    super();
    this.name = name;
  }

  get size(): number {
    return this.expected.size;
  }

  /** How many messages must be there at the end. */
  get promised(): number {
    let count = 0;
    for (const { fate } of this.expected.values()) if (fate === 'must') count++;
    return count;
  }

  /** Before anybody is asked for it: it may come, once. */
  sending(id: string, notBefore = 0): void {
    this.expected.set(id, { fate: 'may', notBefore, came: 0 });
  }

  /** It was promised. */
  mustCome(id: string): void {
    (this.expected.get(id) as Expected).fate = 'must';
  }

  /** Nobody knows any more. */
  mayCome(id: string): void {
    (this.expected.get(id) as Expected).fate = 'may';
  }

  /** It is not to come. */
  mustNotCome(id: string): void {
    (this.expected.get(id) as Expected).fate = 'not';
  }

  /** It stands in its topic, and was sent there at this time. */
  stored(id: string, at: number): void {
    const expected = this.expected.get(id);
    this.came++;
    if (expected === undefined) {
      this.found('phantom', `${this.name}: ${id} came and was never sent`);
      return;
    }
    const { notBefore } = expected;
    if (++expected.came > 1) this.found('doubled', `${this.name}: ${id} came ${expected.came} times`);
    if (at < notBefore) this.found('early', `${this.name}: ${id} came ${notBefore - at} ms before its time`);
    if (notBefore > 0) this.lateMs = Math.max(this.lateMs, at - notBefore);
  }

  /** The end: everything that will come has come. */
  finish(): void {
    for (const [id, { fate, came }] of this.expected) {
      if (fate === 'must' && came === 0) this.found('lost', `${this.name}: ${id} was promised and did not come`);
      if (fate === 'not' && came > 0) this.found('unwanted', `${this.name}: ${id} came and was not to come`);
    }
  }
}
