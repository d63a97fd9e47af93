// The judge: books of what was sent, acknowledged, stored and delivered go in, everything that contradicts a promise
// comes out. It knows nothing of the broker and shares no code with it.
//
//   lost           acknowledged as `written` or `durable`, and not in the log
//   moved          in the log at another place than the acknowledgement said
//   phantom        in the log, and never sent (or not the bytes that were sent)
//   duplicate      in the log twice
//   reordered      a producer's messages of one partition not in the order they were sent
//   inconsistent   two readers, or one reader twice, saw different messages at one offset that was settled
//   hole           an offset that the log skips, or a consumer was not given
//
// Offsets below a partition's settled end are on the disk for good; what is behind it may still be taken back.
import { Findings } from './findings.ts';
import type { MessageName } from './message.ts';

export type AnomalyKind = 'lost' | 'moved' | 'phantom' | 'duplicate' | 'reordered' | 'inconsistent' | 'hole';

/** Acknowledgements that survive kill -9. */
const KEPT: ReadonlySet<string> = new Set(['written', 'durable', 'replicated']);

interface Sent {
  /** Topic and partition that it was acknowledged at, or ''. */
  place: string;
  offset: number;
  kept: boolean;
  /** Times that the log has it. */
  stored: number;
}

/** One reader's view of a partition: which message stands at which offset. */
class View {
  readonly first: number;
  readonly ids: string[] = [];

  constructor(first: number) {
    this.first = first;
  }

  get next(): number {
    return this.first + this.ids.length;
  }

  at(offset: number): string | undefined {
    return this.ids[offset - this.first];
  }
}

export class Checker extends Findings<AnomalyKind> {
  private readonly sent = new Map<string, Sent>();
  private readonly log = new Map<string, View>();
  private readonly order = new Map<string, number>();
  private readonly consumers = new Map<string, Map<string, View>>();
  storedCount = 0;

  /** Before it is sent. */
  sending(name: MessageName): void {
    this.sent.set(idOf(name), { place: '', offset: -1, kept: false, stored: 0 });
  }

  /** Acknowledged at a place. An offset below 0 names no place (the broker knew it as a duplicate). */
  acknowledged(name: MessageName, level: string, place: string, offset: number): void {
    const sent = this.sent.get(idOf(name));
    if (!sent) {
      this.found('phantom', `${idOf(name)} was acknowledged and never sent`);
      return;
    }
    sent.place = offset >= 0 ? place : '';
    sent.offset = offset;
    sent.kept = KEPT.has(level);
  }

  /** The log's own account: every settled message of a partition, once, in the order of offsets. */
  stored(place: string, offset: number, name: MessageName | undefined): void {
    const view = this.log.get(place) ?? new View(offset);
    this.log.set(place, view);
    if (offset !== view.next) {
      this.found('hole', `${place}: offset ${offset} after ${view.next - 1}`);
      return;
    }
    this.storedCount++;
    const id = name ? idOf(name) : `?${offset}`;
    view.ids.push(id);
    const sent = this.sent.get(id);
    if (!name || !sent) {
      this.found('phantom', `${place}:${offset} holds ${name ? id : 'bytes'} nobody sent`);
      return;
    }
    if (++sent.stored > 1) this.found('duplicate', `${id} stands at ${place}:${offset} again`);
    else if (sent.place !== '' && (sent.place !== place || sent.offset !== offset)) {
      this.found('moved', `${id} was acknowledged at ${sent.place}:${sent.offset} and stands at ${place}:${offset}`);
    }
    const line = `${name.producer}@${place}`;
    const before = this.order.get(line) ?? -1;
    if (name.sequence < before) this.found('reordered', `${place}:${offset} is ${id}, behind its ${before}`);
    this.order.set(line, Math.max(before, name.sequence));
  }

  /** A consumer was given a message. */
  delivered(consumer: string, place: string, offset: number, name: MessageName | undefined): void {
    const views = this.consumers.get(consumer) ?? new Map<string, View>();
    this.consumers.set(consumer, views);
    const view = views.get(place) ?? new View(offset);
    views.set(place, view);
    if (offset !== view.next) {
      const kind = offset < view.next ? 'duplicate' : 'hole';
      this.found(kind, `${consumer} was given ${place}:${offset}, expected ${view.next}`);
      if (offset < view.first) return;
      while (view.next < offset) view.ids.push('');
      view.ids.length = offset - view.first;
    }
    view.ids.push(name ? idOf(name) : `?${offset}`);
  }

  /** A consumer was told that a crash took back what stood from an offset on. */
  takenBack(consumer: string, place: string, offset: number): void {
    const view = this.consumers.get(consumer)?.get(place);
    if (view && offset >= view.first && offset < view.next) view.ids.length = offset - view.first;
  }

  /** The end: all that was acknowledged must be in the log, and every consumer's last view must agree with it. */
  finish(): void {
    for (const [id, sent] of this.sent) {
      if (sent.kept && sent.stored === 0) {
        this.found('lost', `${id} was acknowledged at ${sent.place || 'some place'}:${sent.offset}`);
      }
    }
    for (const [consumer, views] of this.consumers) {
      for (const [place, view] of views) this.compare(consumer, place, view);
    }
  }

  private compare(consumer: string, place: string, view: View): void {
    const log = this.log.get(place);
    if (!log) return;
    const from = Math.max(view.first, log.first);
    if (view.first > log.first) {
      this.found('hole', `${consumer} was given ${place} from ${view.first} on, the log begins at ${log.first}`);
    }
    const to = Math.min(view.next, log.next);
    for (let offset = from; offset < to; offset++) {
      const seen = view.at(offset);
      if (seen !== '' && seen !== log.at(offset)) {
        this.found('inconsistent', `${consumer} saw ${seen} at ${place}:${offset}, the log has ${log.at(offset)}`);
      }
    }
    if (view.next < log.next) {
      this.found('hole', `${consumer} was given ${place} up to ${view.next}, the log goes to ${log.next}`);
    }
  }
}

function idOf(name: MessageName): string {
  return `${name.producer}:${name.sequence}`;
}
