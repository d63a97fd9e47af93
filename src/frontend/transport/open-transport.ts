// Chooses the transport: native where it loads, pure JavaScript otherwise.
import { type ServerTransport, TransportError, type TransportHandlers, type TransportLimits } from './transport.ts';
import { loadUwsBinding } from './uws-binding.ts';

export type TransportPreference = 'auto' | 'uws' | 'ws';

export interface OpenedTransport {
  readonly transport: ServerTransport;
  /** One line for the log: which transport runs, and why. */
  readonly reason: string;
}

/** Rejects with a TransportError ('ENOTSUP') if 'uws' was asked for and does not load. */
export async function openTransport(
  handlers: TransportHandlers,
  limits: TransportLimits,
  preference: TransportPreference,
): Promise<OpenedTransport> {
  if (preference === 'ws') return openWs(handlers, limits, 'transport ws (JavaScript): as configured');
  const result = loadUwsBinding();
  if (result.ok) {
    const { UwsTransport } = await import('./uws.ts');
    const reason = `transport uWebSockets.js ${result.version} (native): ${result.path}`;
    return { transport: new UwsTransport(result.binding, handlers, limits), reason };
  }
  if (preference === 'auto') return openWs(handlers, limits, `transport ws (JavaScript): ${result.reason}`);
  throw new TransportError(
    'ENOTSUP',
    `the transport uWebSockets.js was asked for but cannot run: ${result.reason}. ` +
      "Install a build of it for this Node.js and system, or choose the transport 'auto' or 'ws'",
  );
}

async function openWs(handlers: TransportHandlers, limits: TransportLimits, reason: string): Promise<OpenedTransport> {
  const { WsTransport } = await import('./ws.ts');
  return { transport: new WsTransport(handlers, limits), reason };
}
