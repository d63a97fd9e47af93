// The dashboard's files and the browser client, read once at the start: what is served is exactly this list, so that no
// path of a request ever reaches the file system.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from './package-info.ts';

/** One file as it is served. */
export interface Asset {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly etag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};
const FILE_MAX_BYTES = 4 * 1024 * 1024;

const PLAIN_PAGE = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>ringmq</title>
<h1>ringmq</h1>
<p>The broker runs. Its dashboard is not part of this build: run <code>npm run build</code> and start it again.</p>
<p><a href="/health">health</a> · <a href="/metrics">metrics</a> · <a href="/api/topics">topics</a></p>
</html>
`;

/** Path -> file. `/` is always there. */
export function loadAssets(root: string = packageRoot()): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  const dashboard = path.join(root, 'dist', 'dashboard');
  for (const name of filesOf(dashboard)) {
    const asset = readAsset(path.join(dashboard, name));
    assets.set(`/${name}`, asset);
    assets.set(`/dashboard/${name}`, asset);
  }
  const browser = path.join(root, 'dist', 'browser');
  for (const name of filesOf(browser)) {
    const asset = readAsset(path.join(browser, name));
    assets.set(`/${name}`, asset);
    assets.set(`/browser/${name}`, asset);
  }
  const page = assets.get('/index.html') ?? makeAsset(new TextEncoder().encode(PLAIN_PAGE), '.html');
  for (const alias of ['/', '/dashboard', '/dashboard/']) assets.set(alias, page);
  return assets;
}

function filesOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => {
    const { size } = statSync(path.join(folder, name));
    return Object.hasOwn(TYPES, path.extname(name)) && size <= FILE_MAX_BYTES;
  });
}

function readAsset(file: string): Asset {
  return makeAsset(readFileSync(file), path.extname(file));
}

function makeAsset(body: Uint8Array, extension: string): Asset {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return {
    body,
    etag,
    headers: {
      'content-type': TYPES[extension],
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      etag,
    },
  };
}
