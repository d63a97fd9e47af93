// Ports: who may listen where, and what is said if not; which transport is chosen.
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { openTransport } from '../../../src/frontend/transport/open-transport.ts';
import { probePort } from '../../../src/frontend/transport/port-probe.ts';
import { TransportError, type TransportHandlers } from '../../../src/frontend/transport/transport.ts';
import { HOST, KINDS, type Kind, LIMITS, NATIVE, start, stopAll } from './harness.ts';

afterEach(stopAll);

const SILENT: TransportHandlers = {
  upgrade: () => ({ refuse: 403, text: 'no' }),
  open: () => {},
  message: () => {},
  drain: () => {},
  close: () => {},
  request: () => ({ status: 404, headers: {}, body: '' }),
};

async function listenError(kind: Kind, host: string, port: number, shared = false): Promise<TransportError> {
  const { transport } = await openTransport(SILENT, LIMITS, kind);
  try {
    await transport.listen({ host, port, shared });
  } catch (error) {
    expect(error).toBeInstanceOf(TransportError);
    return error as TransportError;
  } finally {
    await transport.close(1001, '');
  }
  throw new Error('it listens');
}

describe.each(KINDS)('%s: listening', (kind) => {
  test('a port in use is EADDRINUSE, with host, port and advice', async () => {
    const first = await start(kind);
    const error = await listenError(kind, HOST, first.port);
    expect(error.code).toBe('EADDRINUSE');
    expect(error.message).toContain(`${HOST}:${first.port}`);
    expect(error.message).toContain('choose another port');
  });

  test('a host that is not ours is EADDRNOTAVAIL', async () => {
    expect((await listenError(kind, '192.0.2.1', 40_000)).code).toBe('EADDRNOTAVAIL');
  });

  test('the port is free again after close', async () => {
    const first = await start(kind);
    await first.transport.close(1001, '');
    expect(await probePort(HOST, first.port)).toBe(first.port);
    const { transport } = await openTransport(SILENT, LIMITS, kind);
    expect(await transport.listen({ host: HOST, port: first.port, shared: false })).toBe(first.port);
    await transport.close(1001, '');
  });

  test('a transport that never listened closes', async () => {
    const { transport } = await openTransport(SILENT, LIMITS, kind);
    await transport.close(1001, '');
  });
});

describe.each(NATIVE)('%s: a shared port', (kind) => {
  test('lets a second one in, unless that one wants it alone, and the probe sees through it', async () => {
    const { transport } = await openTransport(SILENT, LIMITS, kind);
    const port = await transport.listen({ host: HOST, port: 0, shared: true });
    try {
      await expect(probePort(HOST, port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
      expect((await listenError(kind, HOST, port)).code).toBe('EADDRINUSE');
      const second = (await openTransport(SILENT, LIMITS, kind)).transport;
      expect(second.sharesPort).toBe(true);
      expect(await second.listen({ host: HOST, port, shared: true })).toBe(port);
      await second.close(1001, '');
    } finally {
      await transport.close(1001, '');
    }
  });

  test('is refused if somebody who does not share has it', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, HOST, () => resolve((server.address() as { port: number }).port));
    });
    expect((await listenError(kind, HOST, port, true)).code).toBe('EADDRINUSE');
    server.close();
  });
});

describe('probePort', () => {
  test('gives a free port for port 0, and leaves it free', async () => {
    const port = await probePort(HOST, 0);
    expect(port).toBeGreaterThan(0);
    expect(await probePort(HOST, port)).toBe(port);
  });

  test('says which host has no address', async () => {
    const error = await probePort('no-such-host.invalid', 1).catch((reason) => reason);
    expect(error).toBeInstanceOf(TransportError);
    expect(error.message).toContain('no-such-host.invalid:1');
  });
});

describe('openTransport', () => {
  test("'ws' gives ws, 'auto' the native one where it loads, each with a line for the log", async () => {
    const ws = await openTransport(SILENT, LIMITS, 'ws');
    expect(ws.transport.name).toBe('ws');
    expect(ws.transport.sharesPort).toBe(false);
    expect(ws.reason).toContain('as configured');
    const auto = await openTransport(SILENT, LIMITS, 'auto');
    expect(auto.transport.name).toBe(NATIVE.length > 0 ? 'uWebSockets.js' : 'ws');
    expect(auto.reason).not.toContain('\n');
    await ws.transport.close(1001, '');
    await auto.transport.close(1001, '');
  });
});
