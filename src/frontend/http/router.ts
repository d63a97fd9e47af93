// Everything that is asked over plain HTTP: who may ask, what serves which path.
import { isTopicName } from '../../base/units.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { notAllowed, refusal, refusalOf } from './answers.ts';
import type { Origins } from './origins.ts';

/** Answers one kind of request. May throw or reject with a RingmqError. */
export type Serve = (request: HttpRequest, topic: string) => Promise<HttpResponse> | HttpResponse;

export interface HttpParts {
  readonly origins: Origins;
  /** A file of the dashboard; undefined if there is none at the path. */
  readonly asset: (request: HttpRequest) => HttpResponse | undefined;
  readonly health: Serve;
  readonly metrics: Serve;
  readonly topics: Serve;
  readonly createTopic: Serve;
  readonly deleteTopic: Serve;
  readonly route: Serve;
  readonly publish: Serve;
  readonly pull: Serve;
  readonly query: Serve;
  readonly setRetention: Serve;
  /** Called with the message's id. */
  readonly message: Serve;
  /** Called with the method's name. */
  readonly call: Serve;
  readonly groups: Serve;
  /** Called with the group's name. */
  readonly group: Serve;
}

type Methods = Readonly<Record<string, Serve>>;

const ALLOWED_METHODS = 'GET, HEAD, POST, PUT, DELETE, OPTIONS';
const PREFLIGHT_S = '600';
const READS = ['GET', 'HEAD', 'OPTIONS'];

export class HttpRouter {
  private readonly parts: HttpParts;
  private readonly fixed: ReadonlyMap<string, Methods>;

  constructor(parts: HttpParts) {
    this.parts = parts;
    this.fixed = new Map<string, Methods>([
      ['/health', { GET: parts.health }],
      ['/metrics', { GET: parts.metrics }],
      ['/api/topics', { GET: parts.topics }],
      ['/api/groups', { GET: parts.groups }],
    ]);
  }

  async handle(request: HttpRequest): Promise<HttpResponse> {
    const { origins } = this.parts;
    const origin = request.header('origin');
    const host = request.header('host');
    if (!origins.knowsHost(host)) return refusal('origin-refused', `this broker is not ${JSON.stringify(host)}`);
    const allowed = origins.allows(origin, host);
    if (!allowed && !READS.includes(request.method)) return refusal('origin-refused');
    const response = request.method === 'OPTIONS' ? preflight(allowed) : await this.answer(request);
    return origin !== '' && origins.isListed(origin) ? withCors(response, origin) : response;
  }

  private async answer(request: HttpRequest): Promise<HttpResponse> {
    try {
      return await this.serve(request);
    } catch (error) {
      return refusalOf(error);
    }
  }

  private serve(request: HttpRequest): Promise<HttpResponse> | HttpResponse {
    const { method, path } = request;
    const fixed = this.fixed.get(path);
    if (fixed) return call(fixed, request, '');
    if (path.startsWith('/api/')) return this.serveTopic(request);
    const asset = this.parts.asset(request);
    if (!asset) return refusal('not-found');
    return method === 'GET' || method === 'HEAD' ? asset : notAllowed('GET', 'HEAD');
  }

  /**
   * /api/topics/NAME, /api/topics/NAME/messages (query, retention), /api/routes/NAME, /api/messages/ID,
   * /api/call/METHOD, /api/groups/NAME
   */
  private serveTopic(request: HttpRequest): Promise<HttpResponse> | HttpResponse {
    const [, , kind, name, what, ...rest] = request.path.split('/');
    const methods = rest.length === 0 ? this.methodsOf(kind, what) : undefined;
    if (!methods || name === undefined) return refusal('not-found');
    if (kind === 'messages' || kind === 'call') return call(methods, request, name);
    const topic = decoded(name);
    if (kind === 'groups' && topic !== undefined) return call(methods, request, topic);
    if (topic === undefined || !isTopicName(topic)) return refusal('illegal-topic');
    return call(methods, request, topic);
  }

  private methodsOf(kind: string, what: string | undefined): Methods | undefined {
    const { createTopic, deleteTopic, message, publish, pull, query, route, setRetention } = this.parts;
    if (kind === 'topics' && what === undefined) return { PUT: createTopic, DELETE: deleteTopic };
    if (kind === 'topics' && what === 'messages') return { POST: publish, GET: pull };
    if (kind === 'topics' && what === 'query') return { GET: query };
    if (kind === 'topics' && what === 'retention') return { PUT: setRetention };
    if (kind === 'call' && what === undefined) return { POST: this.parts.call };
    if (kind === 'groups' && what === undefined) return { GET: this.parts.group };
    if (kind === 'messages' && what === undefined) return { GET: message };
    return kind === 'routes' && what === undefined ? { GET: route } : undefined;
  }
}

function call(methods: Methods, request: HttpRequest, topic: string): Promise<HttpResponse> | HttpResponse {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (!Object.hasOwn(methods, method)) return notAllowed(...Object.keys(methods));
  return methods[method](request, topic);
}

function preflight(allowed: boolean): HttpResponse {
  if (!allowed) return refusal('origin-refused');
  return { status: 204, headers: { allow: ALLOWED_METHODS }, body: '' };
}

function withCors(response: HttpResponse, origin: string): HttpResponse {
  const headers = {
    ...response.headers,
    vary: 'origin',
    'access-control-allow-origin': origin,
    'access-control-allow-methods': ALLOWED_METHODS,
    'access-control-allow-headers': 'content-type',
    'access-control-max-age': PREFLIGHT_S,
  };
  return { ...response, headers };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
