// The part of the header about the connection: its state, the button that cuts it, and what was caught up afterwards.
import type { StateChange } from '../../client/connection.ts';
import type { WsConnection } from '../../client/ws-connection.ts';
import type { Cord } from './cord.ts';
import { byId, setText } from './elements.ts';
import type { Notices } from './notices.ts';
import { type ResumeResult, resumeDetail, resumeText } from './resume.ts';
import type { Stream } from './stream.ts';

/** How long the cord stays cut unless somebody mends it earlier. */
const CUT_MS = 5_000;
const TICK_MS = 200;
const CUT_TEXT = 'the cord was cut in this page';

export class ConnectionBar {
  private readonly connection: WsConnection;
  private readonly cord: Cord;
  private readonly notices: Notices;
  private readonly streams: () => readonly Stream[];
  private readonly badge = byId('connection-state');
  private readonly button = byId<HTMLButtonElement>('cut-cord');
  private readonly outcome = byId('resume-result');
  private lostAt = 0;
  private nextTryAt = 0;
  private mendAt = 0;
  private reason = '';

  constructor(connection: WsConnection, cord: Cord, notices: Notices, streams: () => readonly Stream[]) {
    this.connection = connection;
    this.cord = cord;
    this.notices = notices;
    this.streams = streams;
    connection.onState((change) => this.changed(change));
    this.button.addEventListener('click', () => (cord.unplugged ? this.mend() : this.cut()));
    setInterval(() => this.tick(), TICK_MS);
    this.show();
  }

  private cut(): void {
    this.mendAt = performance.now() + CUT_MS;
    this.cord.cut();
    this.show();
  }

  private mend(): void {
    this.cord.mend();
    this.show();
  }

  private changed({ from, to, reason, retryInMs }: StateChange): void {
    this.reason = to === 'connected' ? '' : reason;
    this.nextTryAt = performance.now() + (retryInMs ?? 0);
    if (from === 'connected' && to !== 'connected') this.lost();
    if (to === 'connected' && this.lostAt > 0) void this.back();
    this.show();
  }

  private lost(): void {
    if (this.lostAt === 0) this.lostAt = performance.now();
    for (const stream of this.streams()) stream.lost();
    this.tell('', '');
  }

  /** Says what came of the interruption, once everything from before now has arrived. */
  private async back(): Promise<void> {
    const awayMs = performance.now() - this.lostAt;
    this.tell('connected again, catching up …', '');
    try {
      const results = await Promise.all(this.streams().map((stream) => stream.back()));
      // A second interruption gives its own account.
      if (this.connection.state !== 'connected') return;
      const all = results.filter((one): one is ResumeResult => one !== undefined);
      if (all.length === 0) return;
      this.lostAt = 0;
      const clean = all.every((one) => one.lost === 0 && one.repeated === 0 && !one.anew);
      this.tell(resumeText(all, awayMs), clean ? 'ok' : 'bad');
      this.outcome.title = resumeDetail(all);
    } catch (error) {
      if (this.connection.state === 'connected') this.notices.show('asking what was missed', error);
    }
  }

  private tick(): void {
    if (this.cord.unplugged && performance.now() >= this.mendAt) this.mend();
    else if (this.connection.state !== 'connected') this.show();
  }

  private show(): void {
    const { state } = this.connection;
    this.badge.dataset.state = state;
    setText(this.badge, this.stateText());
    this.badge.title = this.reason;
    const { unplugged } = this.cord;
    setText(this.button, unplugged ? 'Mend it now' : 'Cut the cord');
    this.button.disabled = state === 'closed' || (state !== 'connected' && !unplugged);
    setText(byId('connection-reason'), state === 'connected' ? '' : unplugged ? CUT_TEXT : this.reason);
  }

  private stateText(): string {
    const { state } = this.connection;
    if (state === 'connected' || state === 'closed') return state;
    const until = this.cord.unplugged ? this.mendAt : this.nextTryAt;
    const seconds = Math.ceil((until - performance.now()) / 1000);
    if (seconds <= 0) return state;
    return `${state} in ${seconds} s`;
  }

  private tell(text: string, className: string): void {
    this.outcome.className = className;
    this.outcome.title = '';
    setText(this.outcome, text);
  }
}
