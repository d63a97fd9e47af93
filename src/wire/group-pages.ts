// A group's description comes in pages, because an answer has a most size: here they are put together.
import type { GroupDescription, QueueRef, ResultOf } from './services.ts';

type Page = ResultOf<'group-describe'>;

/** `ask` gives the page behind a queue. What of a group is not its queues is that of the first page. */
export async function wholeDescription(ask: (after?: QueueRef) => Promise<Page>): Promise<GroupDescription> {
  const { more, ...first } = await ask();
  const queues = [...first.queues];
  for (let goesOn = more; goesOn; ) {
    const { topic, partition } = queues[queues.length - 1];
    const page = await ask({ topic, partition });
    queues.push(...page.queues);
    // A page without queues would be asked for again and again.
    goesOn = page.more && page.queues.length > 0;
  }
  return { ...first, queues };
}
