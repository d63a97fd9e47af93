// Where this package lies and which version it is: found once, from the file that runs.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const NAME = 'ringmq';
/** From dist/src/admin or src/admin it is two or three steps up. */
const STEPS_MAX = 6;

interface PackageInfo {
  readonly root: string;
  readonly version: string;
}

let found: PackageInfo | undefined;

/** Folder of the package. */
export function packageRoot(): string {
  found ??= find();
  return found.root;
}

export function packageVersion(): string {
  found ??= find();
  return found.version;
}

function find(): PackageInfo {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (name === NAME && version !== undefined) return { root: folder, version };
    }
    folder = path.dirname(folder);
  }
  return { root: folder, version: '0.0.0' };
}
