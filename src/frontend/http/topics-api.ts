// Topics and routes over plain HTTP.
import { OVERFLOW_CODES, type OverflowPolicy } from '../../../native-layout/partition-table.ts';
import { RingmqError } from '../../base/codes.ts';
import type { Command, CommandOf } from '../../wire/commands.ts';
import { jsonRoute, jsonTopics } from '../../wire/json-replies.ts';
import type { Ask } from '../routes.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { json, jsonText } from './answers.ts';
import { Query } from './query.ts';

const TOPICS_PAGE = 200;
const RETENTION_MEMBERS = ['retentionMs', 'retentionBytes'];
const CREATE_MEMBERS = ['partitions', 'overflow', 'ringBytes', 'ifNotExists', 'durable', ...RETENTION_MEMBERS];

type Members = Readonly<Record<string, unknown>>;
type RetentionMembers = Pick<CommandOf<'set-retention'>, 'retentionMs' | 'retentionBytes'>;

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

  /** PUT /api/topics/NAME; the body may be JSON with the members of CREATE_MEMBERS. */
  async create(request: HttpRequest, topic: string): Promise<HttpResponse> {
    const reply = await this.ask(createCommand(request.body, topic));
    return routeAnswer(201, reply);
  }

  /** DELETE /api/topics/NAME */
  async delete(_request: HttpRequest, topic: string): Promise<HttpResponse> {
    await this.ask({ type: 'delete-topic', topic });
    return json(200, { deleted: topic });
  }

  /** PUT /api/topics/NAME/retention; the body is JSON with retentionMs, retentionBytes; 0: as the broker does. */
  async setRetention(request: HttpRequest, topic: string): Promise<HttpResponse> {
    const members = membersOf(request.body, RETENTION_MEMBERS);
    if (Object.keys(members).length === 0) {
      throw new RingmqError('illegal-argument', `the body names at least one of ${RETENTION_MEMBERS.join(', ')}`);
    }
    await this.ask({ type: 'set-retention', topic, ...retentionOf(members) });
    return routeAnswer(200, await this.ask({ type: 'route-request', topic, create: false }));
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
  const members = membersOf(body, CREATE_MEMBERS);
  const { partitions = 0, overflow = 'block', ringBytes = 0, ifNotExists = false, durable } = members;
  if (typeof overflow !== 'string' || !Object.hasOwn(OVERFLOW_CODES, overflow)) {
    throw new RingmqError('illegal-argument', `overflow is one of ${Object.keys(OVERFLOW_CODES).join(', ')}`);
  }
  if (typeof ifNotExists !== 'boolean') throw new RingmqError('illegal-argument', 'ifNotExists is true or false');
  if (durable !== undefined && typeof durable !== 'boolean') {
    throw new RingmqError('illegal-argument', 'durable is true or false');
  }
  return {
    type: 'create-topic',
    topic,
    partitions: countOf(partitions, 'partitions'),
    overflow: overflow as OverflowPolicy,
    ringBytes: countOf(ringBytes, 'ringBytes'),
    direct: false,
    durable,
    ...retentionOf(members),
    ifNotExists,
  };
}

function retentionOf({ retentionMs = 0, retentionBytes = 0 }: Members): RetentionMembers {
  return {
    retentionMs: sizeOf(retentionMs, 'retentionMs'),
    retentionBytes: sizeOf(retentionBytes, 'retentionBytes'),
  };
}

/** Throws for a member that is not in `known`. */
function membersOf(body: Uint8Array, known: readonly string[]): Members {
  const members = body.length === 0 ? {} : parse(body);
  const stray = Object.keys(members).find((name) => !known.includes(name));
  if (stray === undefined) return members;
  throw new RingmqError('illegal-argument', `${stray}: no such member; known are ${known.join(', ')}`);
}

function parse(body: Uint8Array): Members {
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

/** The same for what may be larger than 2^31. */
function sizeOf(value: unknown, name: string): number {
  if (typeof value === 'number' && value >= 0 && Number.isSafeInteger(value)) return value;
  throw new RingmqError('illegal-argument', `${name} is a whole number`);
}
