// What the coordinator answers to members of a group, whatever way they asked, as the books of the group have it.
import type { Settle } from '../../src/wire/services.ts';
import type { GroupBook } from './group-books.ts';

interface Committed {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly acked: readonly number[];
}

/** True if a call is about the group. */
export function concerns(params: object, { name }: GroupBook): boolean {
  return (params as { readonly group?: string }).group === name;
}

/** A call was answered that was asked at `asked`. */
export function noteAnswer(group: GroupBook, method: string, params: object, result: object, asked: number): void {
  if (method === 'group-commit') {
    const { queues, anew } = params as { readonly queues: readonly Committed[]; readonly anew?: boolean };
    for (const { topic, partition, offset, acked } of queues) {
      if (anew) group.moved(`${topic}/${partition}`, offset);
      else group.committed(`${topic}/${partition}`, offset, acked, asked);
    }
  } else if (method === 'settle') {
    settled(group, params as Settle, (result as { readonly stale: number[][] }).stale, asked);
  }
}

function settled(group: GroupBook, { queues }: Settle, stale: readonly (readonly number[])[], asked: number): void {
  queues.forEach(({ topic, partition, acks }, i) => {
    const pairs: number[] = [];
    for (let at = 0; at < acks.length; at += 2) {
      if (!stale[i]?.includes(acks[at])) pairs.push(acks[at], acks[at] + 1);
    }
    group.committed(`${topic}/${partition}`, 0, pairs, asked);
  });
}
