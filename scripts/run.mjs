// What `npm start`, `npm test` and `npm run bench` call. It works on a fresh clone: it installs the dependencies and
// builds dist/ where that is needed, then runs the command in this same process, so that exit codes, signals and stdout
// are the command's own. Progress goes to stderr.
//
//   node scripts/run.mjs serve [options]        the broker, or any other command of bin/ringmq.mjs
//   node scripts/run.mjs --test [vitest args]   the test suite
//   node scripts/run.mjs --bench NAME [options] a benchmark
//   node scripts/run.mjs --torture [options]    kills a broker again and again, and checks what it kept
//   node scripts/run.mjs --build                nothing more than that
//
// Until the dependencies are there only Node's own modules may be imported, and only syntax that old versions of Node
// parse: otherwise they would answer with a syntax error instead of the line that says what is missing.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const NODE_MAJOR_MIN = 20;

/** Installs and builds where needed. Throws with a plain sentence when it cannot. */
export async function prepare() {
  installIfNeeded();
  const { build } = await import('./build.mjs');
  if ((await build({ say })) === 'broken') throw new Error('the sources have errors (above)');
}

const CLI_ENTRY = path.join(ROOT, 'dist', 'src', 'cli', 'main.js');
const ENTRIES = {
  '--bench': path.join(ROOT, 'dist', 'bench', 'run.js'),
  '--torture': path.join(ROOT, 'dist', 'torture', 'main.js'),
};
const VITEST_ENTRY = path.join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');

function say(line) {
  process.stderr.write(`${line}\n`);
}

function installIfNeeded() {
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
    throw new Error(`ringmq needs Node ${NODE_MAJOR_MIN} or newer; this is ${process.version}`);
  }
  if (isInstalled()) return;
  say('ringmq: installing dependencies (once) ...');
  const hasLock = fs.existsSync(path.join(ROOT, 'package-lock.json'));
  if (hasLock && npm('ci')) return;
  if (npm('install')) return;
  throw new Error('npm could not install the dependencies (above)');
}

/** True if node_modules holds what package-lock.json says. Optional packages of other platforms may be absent. */
function isInstalled() {
  const wanted = readPackages('package-lock.json');
  const present = readPackages('node_modules/.package-lock.json');
  if (!present) return false;
  if (!wanted) return true;
  return Object.entries(wanted).every(([name, entry]) => {
    const found = present[name];
    return name === '' || (found ? found.version === entry.version : entry.optional === true);
  });
}

function readPackages(file) {
  try {
    return JSON.parse(fs.readFileSync(path.join(ROOT, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/**
 * Install scripts stay off: every native part comes prebuilt in its package, and our own build follows anyway. The
 * compiler and the test runner are needed here whatever NODE_ENV says.
 */
function npm(command) {
  const args = [command, '--include=dev', '--include=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
  args.push('--loglevel=error');
  const cli = process.env.npm_execpath;
  const isNpm = cli !== undefined && /npm-cli\.c?js$/.test(cli);
  const options = { cwd: ROOT, stdio: ['ignore', 2, 2] };
  const result = isNpm
    ? spawnSync(process.execPath, [cli, ...args], options)
    : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
  return result.status === 0;
}

/** Hands this process over to another script, as if node had been started with it. */
async function become(script, args) {
  if (!fs.existsSync(script)) throw new Error(`${path.relative(ROOT, script)} does not exist`);
  process.argv = [process.argv[0], script, ...args];
  await import(pathToFileURL(script).href);
}

async function main(args) {
  const [mode, ...rest] = args;
  if (mode === '--test') {
    // The suite builds dist/ by itself (globalSetup in vitest.config.ts), whichever way it is started.
    installIfNeeded();
    process.chdir(ROOT);
    return become(VITEST_ENTRY, ['run', ...rest]);
  }
  await prepare();
  if (mode === '--build') return;
  return mode in ENTRIES ? become(ENTRIES[mode], rest) : become(CLI_ENTRY, args);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    say(`ringmq: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
