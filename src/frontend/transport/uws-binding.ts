// Finds and loads the native part of uWebSockets.js for the running Node.js. The package is an optional
// dependency under that name: either the npm build (`@trufflesuite/uws-js-unofficial`, binaries/) or the
// official one (binaries at its root). Only the .node file is loaded: no JavaScript of the package runs, so
// neither its fallback nor the old `ws` nested in it is ever executed. Works in worker threads.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const PACKAGE = 'uWebSockets.js';
const BINARY_FOLDERS = ['binaries', '.', 'dist'];

/** `require`: loads .node and .json files by path. */
const load = createRequire(import.meta.url);

/** A TCP listen socket of uSockets; opaque. */
export type UwsListenToken = object;

/** A WebSocket of uWS. Using it after its close event, end() or close() throws. */
export interface UwsNativeSocket<Data> {
  /** Own properties of the object given to upgrade() are copied onto the socket; there is one: `link`. */
  readonly link: Data;
  send(frame: Uint8Array | string, binary: boolean, compress: boolean): number;
  getBufferedAmount(): number;
  cork(sends: () => void): void;
  /** Sends a close frame. Calls the close handler before it returns. */
  end(code: number, reason: string): void;
  /** Cuts the connection. Calls the close handler before it returns. */
  close(): void;
}

/** Lives in the C++ stack: not valid after the handler returned. */
export interface UwsNativeRequest {
  getMethod(): string;
  getUrl(): string;
  getQuery(): string | undefined;
  forEach(visit: (name: string, value: string) => void): void;
}

/** Valid until it was answered or aborted. */
export interface UwsNativeResponse {
  writeStatus(status: string): UwsNativeResponse;
  writeHeader(name: string, value: string): UwsNativeResponse;
  end(body?: Uint8Array | string, closeConnection?: boolean): UwsNativeResponse;
  endWithoutBody(): void;
  onAborted(handler: () => void): UwsNativeResponse;
  /** `chunk` is valid during the call only. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): UwsNativeResponse;
  /** 4 or 16 bytes. */
  getRemoteAddress(): ArrayBuffer;
  cork(writes: () => void): UwsNativeResponse;
  upgrade<Data>(own: { link: Data }, key: string, protocol: string, extensions: string, context: object): void;
}

export interface UwsNativeBehavior<Data> {
  readonly maxPayloadLength: number;
  readonly maxBackpressure: number;
  readonly closeOnBackpressureLimit: boolean;
  /** Seconds, 8 to 960: other values but 0 end the process. */
  readonly idleTimeout: number;
  readonly maxLifetime: number;
  readonly sendPingsAutomatically: boolean;
  readonly compression: number;
  upgrade(response: UwsNativeResponse, request: UwsNativeRequest, context: object): void;
  open(socket: UwsNativeSocket<Data>): void;
  message(socket: UwsNativeSocket<Data>, data: ArrayBuffer, binary: boolean): void;
  drain(socket: UwsNativeSocket<Data>): void;
  close(socket: UwsNativeSocket<Data>, code: number, reason: ArrayBuffer): void;
}

export interface UwsNativeApp {
  ws<Data>(pattern: string, behavior: UwsNativeBehavior<Data>): UwsNativeApp;
  any(pattern: string, handler: (response: UwsNativeResponse, request: UwsNativeRequest) => void): UwsNativeApp;
  listen(host: string, port: number, options: number, done: (token: UwsListenToken | false) => void): UwsNativeApp;
  /** Cuts every connection, idle HTTP ones too, and stops listening. */
  close(): UwsNativeApp;
}

/** What of the native module is used. */
export interface UwsBinding {
  App(): UwsNativeApp;
  us_listen_socket_close(token: UwsListenToken): void;
  us_socket_local_port(token: UwsListenToken): number;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  readonly DISABLED: number;
}

export type BindingResult =
  | { readonly ok: true; readonly binding: UwsBinding; readonly version: string; readonly path: string }
  | { readonly ok: false; readonly reason: string };

/** What a person needs to know about this machine when the native transport does not load. */
export interface RuntimeFacts {
  readonly node: string;
  /** Number of Node's binary interface: a native module must have been built for exactly this one. */
  readonly abi: string;
  /** Operating system and processor, as in the names of the binaries: 'linux-x64'. */
  readonly platform: string;
  /** Version of the GNU C library; undefined where there is none (musl, macOS, Windows). */
  readonly glibc: string | undefined;
  /** One line: what was loaded from where, or why nothing was. */
  readonly uWebSockets: string;
}

let loaded: BindingResult | undefined;

/** Loads the binding, once per thread. Never throws. */
export function loadUwsBinding(): BindingResult {
  loaded ??= loadUwsBindingFrom(packageFolders());
  return loaded;
}

/** The same, looking in the given package folders only. Never throws. */
export function loadUwsBindingFrom(folders: readonly string[]): BindingResult {
  const folder = folders.find((candidate) => isThere(join(candidate, 'package.json')));
  if (folder === undefined) return { ok: false, reason: `the optional package ${PACKAGE} is not installed` };
  const version = packageVersion(folder);
  const path = BINARY_FOLDERS.map((name) => join(folder, name, binaryName())).find(isThere);
  if (path === undefined) return { ok: false, reason: `${PACKAGE} ${version} has no binary for ${platformText()}` };
  try {
    const binding = load(path) as Partial<UwsBinding>;
    if (typeof binding.App === 'function') return { ok: true, binding: binding as UwsBinding, version, path };
    return { ok: false, reason: `${path} is not a uWebSockets.js module` };
  } catch (error) {
    return { ok: false, reason: loadErrorReason(error, version) };
  }
}

/** Facts for a `doctor` command. Takes some milliseconds: do not call it while serving. */
export function runtimeFacts(): RuntimeFacts {
  const result = loadUwsBinding();
  return {
    node: process.version,
    abi: process.versions.modules,
    platform: `${process.platform}-${process.arch}`,
    glibc: glibcVersion(),
    uWebSockets: result.ok ? `${result.version} from ${result.path}` : `not usable: ${result.reason}`,
  };
}

/**
 * Where Node would look for the package from here. Its `exports` may hide package.json, so resolve() is no
 * help.
 */
function packageFolders(): string[] {
  return (load.resolve.paths(PACKAGE) ?? []).map((root) => join(root, PACKAGE));
}

function isThere(file: string): boolean {
  try {
    return load.resolve(file) !== '';
  } catch {
    return false;
  }
}

function packageVersion(folder: string): string {
  try {
    const version = (load(join(folder, 'package.json')) as { version?: unknown } | null)?.version;
    return typeof version === 'string' ? version : '(unknown version)';
  } catch {
    return '(unknown version)';
  }
}

function binaryName(): string {
  return `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
}

function platformText(): string {
  return `Node ${process.versions.node} (ABI ${process.versions.modules}) on ${process.platform}-${process.arch}`;
}

function loadErrorReason(error: unknown, version: string): string {
  const text = error instanceof Error ? error.message : String(error);
  const glibc = /GLIBC_[0-9.]+/.exec(text)?.[0];
  if (glibc !== undefined && text.includes('not found')) {
    return `${PACKAGE} ${version} needs ${glibc}, this system has ${glibcVersion() ?? 'no GNU C library'}`;
  }
  return `${PACKAGE} ${version} does not load: ${text.split('\n')[0]}`;
}

function glibcVersion(): string | undefined {
  const report: unknown = process.report?.getReport();
  const version = (report as { header?: { glibcVersionRuntime?: unknown } } | undefined)?.header?.glibcVersionRuntime;
  return typeof version === 'string' ? version : undefined;
}
