// Calls to the coordinator over plain HTTP.
import { RingmqError } from '../../base/codes.ts';
import { type JsonMessage, parseJsonCommand } from '../../wire/json.ts';
import { jsonCalled } from '../../wire/json-replies.ts';
import { answeredTexts, payloadOf } from '../call-messages.ts';
import type { Calling, Calls } from '../calls.ts';
import { BODY_MAX_BYTES } from '../config.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { jsonText } from './answers.ts';

export interface CallsApiContext {
  readonly calls: Calls;
  /** There is work for the next turn. */
  readonly kick: () => void;
}

const ROOM_FOR_OP = 1024;

export class CallsApi {
  private readonly context: CallsApiContext;

  constructor(context: CallsApiContext) {
    this.context = context;
  }

  /** POST /api/call/METHOD; the body is JSON with the parameters, and `messages` for a method that takes some. */
  async call(request: HttpRequest, method: string): Promise<HttpResponse> {
    const { params, messages } = readCall(request.body, method);
    const { calls, kick } = this.context;
    const { signal } = request;
    const caller: Calling = {
      calling: 0,
      holding: 0,
      // A member is no longer than its request: it lives by the next one, or expires.
      members: new Map(),
      get closed(): boolean {
        return signal.aborted;
      },
    };
    const payload = payloadOf(messages, Date.now());
    const asked = calls.pass(caller, { type: 'call', method, params: JSON.stringify(params), payload });
    kick();
    const reply = await asked;
    return jsonText(200, jsonCalled(0, reply.result, answeredTexts(method, reply.result, reply.payload)));
  }
}

/** An empty body is a call without parameters. */
function readCall(body: Uint8Array, method: string): { params: object; messages: readonly JsonMessage[] } {
  const { messages, ...params } = body.length === 0 ? ({} as Record<string, unknown>) : objectIn(body);
  const whole = JSON.stringify({ op: 'call', id: 0, method, params, messages });
  const command = parseJsonCommand(new TextEncoder().encode(whole), BODY_MAX_BYTES + ROOM_FOR_OP);
  if (command.op !== 'call') throw new RingmqError('internal', `read ${command.op}`);
  return command;
}

function objectIn(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new RingmqError('malformed-command', 'the body is not JSON in UTF-8');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new RingmqError('malformed-command', 'the body is a JSON object with the parameters of the call');
}
