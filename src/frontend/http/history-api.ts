// Finding messages over plain HTTP: by key and time with their bodies, and one by its id.
import { RingmqError } from '../../base/codes.ts';
import { messageId, parseMessageId } from '../../record/message-id.ts';
import type { QueryMatch, TopicRoute } from '../../wire/commands.ts';
import { QUERY_BODIES_MAX_BYTES } from '../config.ts';
import { messageTexts } from '../json-texts.ts';
import type { LogQuestions } from '../log-questions.ts';
import type { PullResult, Pulls } from '../pulls.ts';
import type { Queries } from '../queries.ts';
import type { Ask, RouteBook } from '../routes.ts';
import type { SpanText } from '../span.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { jsonText } from './answers.ts';
import { Query } from './query.ts';

export interface HistoryApiContext {
  readonly ask: Ask;
  readonly routes: Pick<RouteBook, 'fetch'>;
  readonly pulls: Pick<Pulls, 'begin'>;
  readonly queries: Pick<Queries, 'run'>;
  /** Undefined if the broker keeps no data. */
  readonly questions: Pick<LogQuestions, 'read'> | undefined;
  /** There is work for the next turn. */
  readonly kick: () => void;
}

const TOPICS_PAGE = 200;
/** Names of topics that are remembered by their id. */
const NAMES_MAX = 10_000;

export class HistoryApi {
  private readonly context: HistoryApiContext;
  private readonly names = new Map<number, string>();

  constructor(context: HistoryApiContext) {
    this.context = context;
  }

  /** GET /api/topics/NAME/query */
  async query(request: HttpRequest, topic: string): Promise<HttpResponse> {
    const query = new Query(request.query, ['key', 'from', 'to', 'limit']);
    const { route, matches, more } = await this.context.queries.run({
      topic,
      key: query.text('key'),
      fromTime: query.count('from', 0),
      toTime: query.count('to', 0),
      limit: query.count('limit', 0),
    });
    const { texts, cut } = await this.textsOf(route, matches);
    return jsonText(200, `{"messages":[${texts.join(',')}],"more":${more || cut}}`);
  }

  /** GET /api/messages/ID */
  async message(_request: HttpRequest, id: string): Promise<HttpResponse> {
    const place = parseMessageId(id);
    if (!place) throw new RingmqError('illegal-argument', `${JSON.stringify(id)}: a message id has 24 hex digits`);
    const topic = await this.nameOf(place.topicId);
    const { partition, offset } = place;
    const result = await this.pull(topic, partition, offset);
    const { batches } = result;
    const text = textsIn(batches, topic, partition).find((one) => one.offset === offset);
    if (!text) throw new RingmqError('not-found', `no message ${id}: topic ${topic} does not have it (any more)`);
    return jsonText(200, withId(place.topicId, partition, text));
  }

  /** The messages of matches, in their order; `cut`: so many bytes that the last ones are left out. */
  private async textsOf(
    { topic, topicId }: TopicRoute,
    matches: readonly QueryMatch[],
  ): Promise<{ readonly texts: readonly string[]; readonly cut: boolean }> {
    const texts: string[] = [];
    let bytes = 0;
    // A match is often in the batches that were read for the one before.
    const read = new Map<number, { readonly nextOffset: number; readonly texts: readonly SpanText[] }>();
    for (const { partition, offset } of matches) {
      let part = read.get(partition);
      if (!part || offset < (part.texts[0]?.offset ?? 0) || offset >= part.nextOffset) {
        part = await this.read(topic, topicId, partition, offset);
        read.set(partition, part);
      }
      const text = part.texts.find((one) => one.offset === offset);
      // Retention or damage has taken it since it was found.
      if (!text) continue;
      bytes += text.text.length;
      if (bytes > QUERY_BODIES_MAX_BYTES && texts.length > 0) return { texts, cut: true };
      texts.push(withId(topicId, partition, text));
    }
    return { texts, cut: false };
  }

  private async read(topic: string, topicId: number, number: number, offset: number) {
    const { questions } = this.context;
    if (!questions) throw new RingmqError('not-durable');
    const { bytes, nextOffset } = await questions.read({ topicId, number }, offset, 1);
    return { nextOffset, texts: textsIn(bytes, topic, number) };
  }

  private pull(topic: string, partition: number, offset: number): Promise<PullResult> {
    const { pulls, kick } = this.context;
    const puller = { pulls: 0, closed: false };
    return new Promise((resolve, reject) => {
      const asked = { topic, partition, epoch: 0, from: { offset }, maxBytes: 1, waitMs: 0, filter: '' };
      pulls.begin(puller, asked, { answer: resolve, refuse: reject });
      kick();
    });
  }

  /** Name of a topic by its id: ids are never used again, so a name that was found once stays right. */
  private async nameOf(topicId: number): Promise<string> {
    const known = this.names.get(topicId);
    if (known !== undefined) return known;
    for (let after = ''; ; ) {
      const reply = await this.context.ask({ type: 'topics-request', after, limit: TOPICS_PAGE });
      if (reply.type !== 'topics-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
      const found = reply.topics.find((one) => one.topicId === topicId);
      if (found) return this.remember(topicId, found.topic);
      const last = reply.topics.at(-1);
      if (!reply.more || !last) throw new RingmqError('unknown-topic', `no topic has the id ${topicId}`);
      after = last.topic;
    }
  }

  private remember(topicId: number, topic: string): string {
    if (this.names.size >= NAMES_MAX) this.names.clear();
    this.names.set(topicId, topic);
    return topic;
  }
}

function textsIn(batches: Uint8Array, topic: string, number: number): SpanText[] {
  const words = new Int32Array(batches.buffer, batches.byteOffset, batches.length >> 2);
  return messageTexts({ bytes: batches, words, start: 0, length: batches.length, topic, number });
}

function withId(topicId: number, partition: number, { offset, text }: SpanText): string {
  return `{"id":"${messageId(topicId, partition, offset)}",${text.slice(1)}`;
}
