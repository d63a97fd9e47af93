// Runs a participant's work inside an event loop: turn after turn while there is work, asleep on the doorbell
// otherwise.
import type { Doorbell } from '../memory/bell.ts';

export interface LoopWork {
  /** Takes what is there; 0: nothing. */
  work(): number;
  housekeep(): void;
}

/** Turns without work before sleeping: a wake-up costs more than looking a few times. */
const IDLE_TURNS = 24;
const SLEEP_MS = 1_000;
const HOUSEKEEP_MS = 50;

export class EventLoopDriver {
  private readonly doorbell: Doorbell;
  private readonly target: LoopWork;
  private readonly timer: NodeJS.Timeout;
  private idle = 0;
  private stopped = false;
  private running = false;
  /** A promise of the doorbell is under way. It serves the next sleep too, if something else wakes us before it. */
  private waiting = false;

  constructor(doorbell: Doorbell, target: LoopWork) {
    this.doorbell = doorbell;
    this.target = target;
    this.timer = setInterval(() => target.housekeep(), HOUSEKEEP_MS);
    this.timer.unref();
    this.running = true;
    setImmediate(this.turn);
  }

  /** Keeps the process alive, or lets it end. */
  hold(alive: boolean): void {
    if (alive) this.timer.ref();
    else this.timer.unref();
  }

  /** There is work that rang no bell (a frame came in): the next turn runs soon, asleep or not. HOT */
  readonly kick = (): void => {
    this.idle = 0;
    if (!this.running) this.wake();
  };

  stop(): void {
    this.stopped = true;
    clearInterval(this.timer);
    this.doorbell.unpark();
  }

  private readonly turn = (): void => {
    if (this.stopped) return;
    this.running = true;
    if (this.target.work() > 0) this.idle = 0;
    else if (++this.idle > IDLE_TURNS) {
      this.sleep();
      return;
    }
    setImmediate(this.turn);
  };

  private sleep(): void {
    this.idle = 0;
    this.running = false;
    this.doorbell.park();
    // News that came before park() rang no bell: look once more.
    if (this.target.work() > 0) {
      this.wake();
      return;
    }
    if (this.waiting) return;
    const bell = this.doorbell.waitAsync(SLEEP_MS);
    if (bell) {
      this.waiting = true;
      bell.then(this.rung);
    } else this.wake();
  }

  private readonly rung = (): void => {
    this.waiting = false;
    if (!this.stopped) this.wake();
  };

  private wake(): void {
    this.doorbell.unpark();
    if (!this.running && !this.stopped) setImmediate(this.turn);
    this.running = true;
  }
}
