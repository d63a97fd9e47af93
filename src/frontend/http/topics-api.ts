// Topics and routes over plain HTTP.
import { OVERFLOW_CODES, type OverflowPolicy } from '../../../native-layout/partition-table.ts';
import { RingmqError } from '../../base/codes.ts';
import type { Command } from '../../wire/commands.ts';
import { jsonRoute, jsonTopics } from '../../wire/json-replies.ts';
import type { Ask } from '../routes.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { json, jsonText } from './answers.ts';
import { Query } from './query.ts';

const TOPICS_PAGE = 200;
const CREATE_MEMBERS = ['partitions', 'overflow', 'ringBytes', 'ifNotExists'];

export class TopicsApi {
  private readonly ask: Ask;

  constructor(ask: Ask) {
    this.ask = ask;
  }

  /** GET /api/topics */
  async list(request: HttpRequest): Promise<HttpResponse> {
    const query = new Query(request.query, ['after', 'limit']);
    const limit = query.count('limit', TOPICS_PAGE) | 0;
    const reply = await this.ask({ type: 'topics-request', after: query.text('after'), limit });
    if (reply.type !== 'topics-reply') throw unexpected(reply);
    return jsonText(200, jsonTopics(0, reply.topics, reply.more));
  }

  /** PUT /api/topics/NAME; the body may be JSON with partitions, overflow, ringBytes, ifNotExists. */
  async create(request: HttpRequest, topic: string): Promise<HttpResponse> {
    const reply = await this.ask(createCommand(request.body, topic));
    return routeAnswer(201, reply);
  }

  /** DELETE /api/topics/NAME */
  async delete(_request: HttpRequest, topic: string): Promise<HttpResponse> {
    await this.ask({ type: 'delete-topic', topic });
    return json(200, { deleted: topic });
  }

  /** GET /api/routes/NAME */
  async route(_request: HttpRequest, topic: string): Promise<HttpResponse> {
    return routeAnswer(200, await this.ask({ type: 'route-request', topic, create: false }));
  }
}

function routeAnswer(status: number, reply: Command): HttpResponse {
  if (reply.type !== 'route-reply') throw unexpected(reply);
  return jsonText(status, jsonRoute(0, reply.route));
}

function unexpected(reply: Command): RingmqError {
  return new RingmqError('internal', `unexpected ${reply.type}`);
}

function createCommand(body: Uint8Array, topic: string): Command {
  const members = body.length === 0 ? {} : parse(body);
  const stray = Object.keys(members).find((name) => !CREATE_MEMBERS.includes(name));
  if (stray !== undefined) throw new RingmqError('illegal-argument', `${stray}: no such member`);
  const { partitions = 0, overflow = 'block', ringBytes = 0, ifNotExists = false } = members;
  if (typeof overflow !== 'string' || !Object.hasOwn(OVERFLOW_CODES, overflow)) {
    throw new RingmqError('illegal-argument', `overflow is one of ${Object.keys(OVERFLOW_CODES).join(', ')}`);
  }
  if (typeof ifNotExists !== 'boolean') throw new RingmqError('illegal-argument', 'ifNotExists is true or false');
  return {
    type: 'create-topic',
    topic,
    partitions: countOf(partitions, 'partitions'),
    overflow: overflow as OverflowPolicy,
    ringBytes: countOf(ringBytes, 'ringBytes'),
    direct: false,
    durable: undefined,
    retentionMs: 0,
    retentionBytes: 0,
    ifNotExists,
  };
}

function parse(body: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new RingmqError('malformed-command', 'the body is not JSON in UTF-8');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RingmqError('malformed-command', 'the body is a JSON object');
  }
  return value as Record<string, unknown>;
}

function countOf(value: unknown, name: string): number {
  if (typeof value === 'number' && value >= 0 && (value | 0) === value) return value;
  throw new RingmqError('illegal-argument', `${name} is a whole number`);
}
