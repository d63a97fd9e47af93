// Ways to ask a broker without ringmq's library: the readable protocol over one WebSocket after the other, and plain
// HTTP, a request for each question. Both reject with the code that the broker refuses with.
import { type CodeName, RingmqError } from '../../src/base/codes.ts';
import type { FilterOption } from '../../src/filter/filter.ts';
import type { Network, TextWire } from './network.ts';
import type { World } from './world.ts';

/** A message as text has it. */
export interface TextMessage {
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  readonly key?: string;
  readonly tag?: string;
  readonly priority?: number;
  readonly storedAt: number;
  readonly properties?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly bodyBase64?: string;
  /** It is too large for the answer: it is to be pulled. */
  readonly pull?: boolean;
}

export interface TextPulled {
  readonly epoch: number;
  readonly nextOffset: number;
  readonly gap: boolean;
  readonly messages: readonly TextMessage[];
}

export interface TextPull {
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  readonly waitMs: number;
  readonly filter?: FilterOption | undefined;
}

export interface TextCalled {
  readonly result: object;
  readonly messages?: readonly TextMessage[];
}

export interface Speaker {
  /** False: nobody hears it at present. */
  readonly isOpen: boolean;
  call(method: string, params: object): Promise<TextCalled>;
  pull(pull: TextPull): Promise<TextPulled>;
}

const BACK_MAX_MS = 200;
const NO_BODY = new Uint8Array(0);

export function bodyOfText({ body, bodyBase64 }: TextMessage): Uint8Array {
  return bodyBase64 === undefined ? Buffer.from(body ?? '') : Buffer.from(bodyBase64, 'base64');
}

interface Pending {
  readonly resolve: (said: never) => void;
  readonly reject: (error: Error) => void;
}

type Answered = Readonly<Record<string, unknown>> & { readonly op: string; readonly id?: number };

/** Over a WebSocket; a new one when it is lost. */
export class JsonSpeaker implements Speaker {
  private readonly world: World;
  private readonly network: Network;
  /** Hears that everything that was asked is lost. */
  private readonly lost: () => void;
  private wire: TextWire | undefined;
  private readonly pending = new Map<number, Pending>();
  private ids = 0;

  constructor(world: World, network: Network, lost: () => void) {
    this.world = world;
    this.network = network;
    this.lost = lost;
    this.open();
  }

  get isOpen(): boolean {
    return this.wire !== undefined;
  }

  call(method: string, params: object): Promise<TextCalled> {
    return this.ask({ op: 'call', method, params });
  }

  pull({ offset, ...rest }: TextPull): Promise<TextPulled> {
    return this.ask({ op: 'pull', from: { offset }, ...rest });
  }

  private ask<T>(question: object): Promise<T> {
    const { wire } = this;
    if (wire === undefined) return Promise.reject(new RingmqError('connection-lost'));
    const id = ++this.ids;
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      wire.send(JSON.stringify({ id, ...question }));
    });
  }

  private open(): void {
    const wire = this.network.openText({
      opened: () => {
        this.wire = wire;
      },
      text: (text) => this.hear(JSON.parse(text) as Answered),
      ended: () => {
        this.wire = undefined;
        for (const one of this.pending.values()) one.reject(new RingmqError('connection-lost'));
        this.pending.clear();
        this.lost();
        setTimeout(() => this.open(), 1 + this.world.random(BACK_MAX_MS));
      },
    });
  }

  private hear(said: Answered): void {
    const one = this.pending.get(said.id ?? 0);
    this.pending.delete(said.id ?? 0);
    if (said.op === 'error') one?.reject(new RingmqError(said.code as CodeName, String(said.text)));
    else one?.resolve(said as never);
  }
}

interface Refused {
  readonly error?: { readonly code: CodeName; readonly text: string };
}

/** Over HTTP: who asks has gone when its connection breaks. */
export class HttpSpeaker implements Speaker {
  readonly isOpen = true;
  private readonly network: Network;

  constructor(network: Network) {
    this.network = network;
  }

  call(method: string, params: object): Promise<TextCalled> {
    return this.ask('POST', `/api/call/${method}`, '', JSON.stringify(params));
  }

  pull({ topic, partition, epoch, offset, waitMs, filter }: TextPull): Promise<TextPulled> {
    const query = new URLSearchParams({ partition: `${partition}`, epoch: `${epoch}`, offset: `${offset}` });
    query.set('wait', `${waitMs}`);
    if (typeof filter === 'string') query.set('filter', filter);
    else if (filter !== undefined) query.set('sql', filter.sql);
    return this.get(`/api/topics/${encodeURIComponent(topic)}/messages`, query);
  }

  get<T>(path: string, query = new URLSearchParams()): Promise<T> {
    return this.ask('GET', path, query.toString());
  }

  private async ask<T>(method: string, path: string, query: string, body?: string): Promise<T> {
    const headers: Readonly<Record<string, string>> = { host: 'localhost', 'content-type': 'application/json' };
    const gone = new AbortController();
    const request = {
      method,
      path,
      query,
      remoteAddress: 'sim',
      header: (name: string) => headers[name] ?? '',
      body: body === undefined ? NO_BODY : new TextEncoder().encode(body),
      signal: gone.signal,
    };
    const response = await this.network.request(request, gone).catch(() => {
      throw new RingmqError('connection-lost');
    });
    const answer = JSON.parse(response.body as string) as T & Refused;
    if (answer.error) throw new RingmqError(answer.error.code, answer.error.text);
    return answer;
  }
}
