#!/usr/bin/env node
// The `ringmq` command. In a clone it installs and builds first where that is needed; the published package has dist/
// and no scripts/.
import fs from 'node:fs';

const runner = new URL('../scripts/run.mjs', import.meta.url);
if (fs.existsSync(runner)) {
  const { prepare } = await import(runner.href);
  await prepare().catch((error) => {
    console.error(`ringmq: ${error.message}`);
    process.exit(1);
  });
}
await import(new URL('../dist/src/cli/main.js', import.meta.url).href);
