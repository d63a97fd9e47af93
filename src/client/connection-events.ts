// State and listeners that every kind of connection has.
import type { CodeName } from '../base/codes.ts';
import type { ConnectionState, StateChange } from './connection.ts';

type RouteListener = (topic: string, version: number, deleted: boolean) => void;

export abstract class ConnectionEvents {
  private current: ConnectionState;
  private readonly stateListeners = new Set<(change: StateChange) => void>();
  private readonly errorListeners = new Set<(error: Error) => void>();
  private readonly routeListeners = new Set<RouteListener>();

  constructor(state: ConnectionState) {
    this.current = state;
  }

  get state(): ConnectionState {
    return this.current;
  }

  onState(listener: (change: StateChange) => void): () => void {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  }

  onError(listener: (error: Error) => void): () => void {
    this.errorListeners.add(listener);
    return () => this.errorListeners.delete(listener);
  }

  onRoute(listener: RouteListener): () => void {
    this.routeListeners.add(listener);
    return () => this.routeListeners.delete(listener);
  }

  protected changeState(to: ConnectionState, code: CodeName, reason: string, retryInMs?: number): void {
    const from = this.current;
    if (from === 'closed' || (from === to && retryInMs === undefined)) return;
    this.current = to;
    const change: StateChange = { from, to, code, reason, ...(retryInMs === undefined ? {} : { retryInMs }) };
    for (const listener of this.stateListeners) this.guard(() => listener(change));
  }

  protected emitRoute(topic: string, version: number, deleted: boolean): void {
    for (const listener of this.routeListeners) this.guard(() => listener(topic, version, deleted));
  }

  /** Tells the listeners, or the process where nobody listens. */
  protected emitError(error: Error): void {
    if (this.errorListeners.size === 0) warn(error);
    for (const listener of this.errorListeners) {
      try {
        listener(error);
      } catch (thrown) {
        warn(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    }
  }

  private guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.emitError(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

function warn(error: Error): void {
  const node = (globalThis as { process?: { emitWarning?: (warning: Error) => void } }).process;
  if (node?.emitWarning) node.emitWarning(error);
  else console.warn(error);
}
