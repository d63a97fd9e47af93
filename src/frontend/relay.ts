// Questions of sessions to the NameServer and the log: passed on, and the answers passed back.
import { RingmqError } from '../base/codes.ts';
import { REQUESTS_MAX } from './config.ts';
import { refusalOf } from './refusal.ts';
import type { Session } from './session.ts';

/** Asks for a session, which gets the answer, or is refused. Throws `busy` if it has asked too much already. */
export function relay<T, R>(
  ask: (command: T) => Promise<R>,
  session: Session,
  correlation: number,
  command: T,
  answer: (reply: R) => void,
): void {
  if (session.asking >= REQUESTS_MAX) throw new RingmqError('busy', 'too many unanswered requests');
  session.asking++;
  ask(command)
    .then(answer, (error: unknown) => {
      const { code, message } = refusalOf(error);
      session.refuse(correlation, code, message);
    })
    .finally(() => {
      session.asking--;
    });
}
