// Whatever went wrong, in a list that people see: the newest first, repetitions counted instead of repeated.
import { RingmqError } from '../../base/codes.ts';
import { byId, make, setText } from './elements.ts';
import { clock } from './format.ts';

interface Notice {
  readonly text: string;
  readonly row: HTMLLIElement;
  readonly counter: HTMLElement;
  readonly time: HTMLElement;
  times: number;
}

const NOTICES_MAX = 6;

export class Notices {
  private readonly list = byId<HTMLUListElement>('notices');
  private readonly shown: Notice[] = [];

  /** Shows an error with what was being done when it happened. */
  readonly show = (doing: string, error: unknown): void => {
    this.add(`${doing}: ${errorText(error)}`);
  };

  private add(text: string): void {
    const known = this.shown.find((one) => one.text === text);
    if (known) {
      known.times++;
      setText(known.counter, `× ${known.times}`);
      setText(known.time, clock(Date.now()));
      return;
    }
    const notice = this.build(text);
    this.shown.unshift(notice);
    this.list.prepend(notice.row);
    for (const old of this.shown.splice(NOTICES_MAX)) old.row.remove();
  }

  private build(text: string): Notice {
    const counter = make('span', 'notice-times');
    const time = make('time', '', clock(Date.now()));
    const dismiss = make('button', 'icon', '×');
    dismiss.type = 'button';
    dismiss.setAttribute('aria-label', 'Dismiss this message');
    const row = make('li', 'notice', time, make('span', 'notice-text', text), counter, dismiss);
    const notice: Notice = { text, row, counter, time, times: 1 };
    dismiss.addEventListener('click', () => {
      row.remove();
      this.shown.splice(this.shown.indexOf(notice), 1);
    });
    return notice;
  }
}

/** `busy (100): the partition ring is full …` for the broker's refusals, the message for anything else. */
export function errorText(error: unknown): string {
  if (error instanceof RingmqError) return `${error.code} (${error.number}): ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
