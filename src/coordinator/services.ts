// Which parts the coordinator has, and what they need of each other.
import { compileFilter } from '../filter/filter.ts';
import type { RecordView } from '../record/batch-view.ts';
import type { CheckRules } from '../transaction/half-table.ts';
import { FiguresDesk } from './figures-desk.ts';
import { GroupBook } from './group-book.ts';
import { GroupDesk } from './group-desk.ts';
import { LeaseDesk } from './lease-desk.ts';
import { ConnectionMoveLog } from './move-log.ts';
import { Mover } from './mover.ts';
import { RetryDesk } from './retry-desk.ts';
import type { CoordinatorContext, Service } from './service.ts';
import { TimerDesk } from './timer-desk.ts';
import { ConnectionTopics } from './topic-source.ts';
import { TransactionDesk } from './transaction-desk.ts';

/** In the order in which they start, and in which they stop: what others still move comes last. */
export function makeServices(
  context: CoordinatorContext,
  checks: CheckRules,
  timerCheckpointMs?: number,
): readonly Service[] {
  const { connection, journal, warn } = context;
  const mover = new Mover({
    journal,
    warn,
    publisher: (topic) => connection.fixedProducer(topic),
    log: new ConnectionMoveLog(connection),
    soon: (task, awaited) => void (awaited ? queueMicrotask(task) : setImmediate(task)),
  });
  const topics = new ConnectionTopics(connection);
  const book = new GroupBook(topics, journal, warn);
  const timers = new TimerDesk(context, mover, timerCheckpointMs);
  const retries = new RetryDesk(context, book, mover, timers);
  const leases = new LeaseDesk(context, book, retries, filterOf);
  const groups = new GroupDesk(book, {
    leased: (queue) => leases.leasedOf(queue),
    deadLetters: (group) => retries.deadLetters(group),
  });
  const transactions = new TransactionDesk(context, mover, checks);
  const figures = new FiguresDesk(timers, transactions);
  return [figures, groups, leases, retries, transactions, timers, mover];
}

function filterOf(text: string): ((record: RecordView) => boolean) | undefined {
  const filter = compileFilter(text);
  return filter && ((record) => filter.matches(record));
}
