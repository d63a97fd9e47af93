// The cord between this page and the broker, made so that it can be cut: a platform for the client around the
// browser's own. Cutting closes the WebSockets at once, and whatever is still on its way is not looked at any more: for
// the client it is a network that went away. It then comes back by itself, exactly as it would after a real loss.
import type { Platform, Wire, WireEvents } from '../../client/ws-platform.ts';

/** A WebSocket that can be torn out of the client's hands. */
interface Strand {
  readonly tear: () => void;
}

const BROKEN = { code: 1006, reason: '', cause: 'the cord was cut in this page', status: 0 } as const;

export class Cord implements Platform {
  readonly name: string;
  readonly verifyChecksums: boolean;
  readonly soon: Platform['soon'];
  private readonly inner: Platform;
  private readonly strands = new Set<Strand>();
  private readonly wakers = new Set<() => void>();
  private isCut = false;

  constructor(inner: Platform) {
    this.inner = inner;
    this.name = inner.name;
    this.verifyChecksums = inner.verifyChecksums;
    this.soon = inner.soon;
  }

  /** True between cut() and mend(): no connection is possible. */
  get unplugged(): boolean {
    return this.isCut;
  }

  /** Closes every WebSocket, and refuses new ones until mend(). */
  cut(): void {
    this.isCut = true;
    for (const strand of [...this.strands]) strand.tear();
  }

  /** Connections are possible again; the client tries at once. */
  mend(): void {
    this.isCut = false;
    for (const wake of [...this.wakers]) wake();
  }

  open(url: string, events: WireEvents): Wire {
    return this.isCut ? refused(events) : this.strand(url, events);
  }

  whenOnline(listener: () => void): () => void {
    this.wakers.add(listener);
    const forget = this.inner.whenOnline(listener);
    return () => {
      this.wakers.delete(listener);
      forget();
    };
  }

  private strand(url: string, events: WireEvents): Wire {
    let over = false;
    const end: WireEvents['ended'] = (how) => {
      if (over) return;
      over = true;
      this.strands.delete(strand);
      events.ended(how);
    };
    const wire = this.inner.open(url, {
      opened: () => over || events.opened(),
      frame: (bytes) => over || events.frame(bytes),
      drained: () => over || events.drained(),
      ended: end,
    });
    const strand = {
      tear: () => {
        wire.terminate();
        end(BROKEN);
      },
    };
    this.strands.add(strand);
    return wire;
  }
}

/** A connection that fails, a little later as real ones do. */
function refused(events: WireEvents): Wire {
  setTimeout(() => events.ended(BROKEN), 0);
  return { bufferedBytes: 0, send: () => {}, close: () => {}, terminate: () => {} };
}
