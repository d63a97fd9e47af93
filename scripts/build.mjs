// Builds dist/: the TypeScript sources file by file, the browser client and the dashboard as bundles.
//
//   node scripts/build.mjs [--force]
//
// A build is skipped while dist/.inputs.json describes the sources as they are: path, size and change time of each. The
// list is taken before the compiler starts, so that an edit during a build is seen by the next one. `npm start` comes
// this way every time: comparing the list takes some milliseconds and loads nothing but Node's own modules.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const DIST = path.join(ROOT, 'dist');
const STAMP = path.join(DIST, '.inputs.json');
const LOCK = path.join(ROOT, 'node_modules', '.ringmq-build.lock');
const LOCK_WAIT_MAX_MS = 120_000;

/** Folders that the compiler reads, and single files that change its result. */
const SOURCE_FOLDERS = ['native-layout', 'workers', 'src', 'bench', 'torture'];
const SOURCE_FILES = ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts/build.mjs'];

const BROWSER_ENTRY = 'src/client/browser.ts';
const DASHBOARD = 'src/admin/dashboard';

/**
 * Brings dist/ up to date. Resolves to 'fresh' (nothing to do), 'built', or 'broken' (the compiler or the
 * bundler has printed what is wrong, and still wrote what it could).
 */
export async function build({ force = false, say = () => {} } = {}) {
  if (!force && readStamp() === fingerprint()) return 'fresh';
  const release = await takeLock();
  try {
    const inputs = fingerprint();
    if (!force && readStamp() === inputs) return 'fresh';
    say('ringmq: building ...');
    fs.rmSync(STAMP, { force: true });
    const compiled = await compile();
    const bundled = await bundle();
    removeOrphans();
    linkOwnBin();
    if (!compiled || !bundled) return 'broken';
    fs.writeFileSync(STAMP, inputs);
    return 'built';
  } finally {
    release();
  }
}

/** Vitest's global setup: tests that start threads or the program run what is in dist/. */
export async function setup() {
  const outcome = await build({ say: (line) => process.stderr.write(`${line}\n`) });
  if (outcome !== 'broken') return;
  // While somebody is in the middle of an edit, the other tests are still worth running.
  if (process.env.CI) throw new Error('the sources have errors (above)');
  process.stderr.write('ringmq: the sources have errors (above); testing what was built nevertheless\n');
}

function fingerprint() {
  const lines = [];
  for (const file of SOURCE_FILES) addLine(lines, file);
  for (const folder of SOURCE_FOLDERS) {
    if (!fs.existsSync(path.join(ROOT, folder))) continue;
    for (const file of fs.readdirSync(path.join(ROOT, folder), { recursive: true }).sort()) {
      addLine(lines, `${folder}/${file}`);
    }
  }
  return JSON.stringify(lines, null, 1);
}

function addLine(lines, file) {
  const stat = fs.statSync(path.join(ROOT, file), { throwIfNoEntry: false });
  if (stat?.isFile()) lines.push(`${file} ${stat.size} ${stat.mtimeMs}`);
}

function readStamp() {
  try {
    return fs.readFileSync(STAMP, 'utf8');
  } catch {
    return undefined;
  }
}

/** One build at a time in a tree: two compilers writing the same files would leave torn ones. */
async function takeLock() {
  const deadline = Date.now() + LOCK_WAIT_MAX_MS;
  for (;;) {
    try {
      fs.writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
      return () => fs.rmSync(LOCK, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (!isAlive(lockHolder())) fs.rmSync(LOCK, { force: true });
      else if (Date.now() > deadline) throw new Error(`another build holds ${LOCK}`);
      else await sleep(50);
    }
  }
}

function lockHolder() {
  try {
    return Number(fs.readFileSync(LOCK, 'utf8'));
  } catch {
    return 0;
  }
}

function isAlive(pid) {
  // An empty lock file belongs to a process that is about to write its id.
  if (!pid) return fs.existsSync(LOCK) && Date.now() - fs.statSync(LOCK).mtimeMs < 1000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Runs the compiler; its messages go to stderr, because stdout may belong to a bench. */
function compile() {
  const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const child = spawn(process.execPath, [tsc, '-p', ROOT], { cwd: ROOT, stdio: ['ignore', 2, 2] });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code === 0));
  });
}

/** Bundles what is there to be bundled; false if the bundler has printed errors. */
async function bundle() {
  const entries = [];
  if (fs.existsSync(path.join(ROOT, BROWSER_ENTRY))) {
    entries.push({ entryPoints: [BROWSER_ENTRY], outfile: 'dist/browser/ringmq.js' });
  }
  if (fs.existsSync(path.join(ROOT, DASHBOARD, 'main.ts'))) {
    entries.push({ entryPoints: [`${DASHBOARD}/main.ts`], outfile: 'dist/dashboard/main.js' });
    entries.push({ stdin: dashboardStyle(), outfile: 'dist/dashboard/style.css' });
  }
  if (entries.length === 0) return true;
  // The package's install script only swaps a launcher for the binary: the API finds the binary without it.
  const esbuild = await import('esbuild');
  const common = { absWorkingDir: ROOT, bundle: true, format: 'esm', target: 'es2022', platform: 'browser' };
  const results = await Promise.allSettled(
    entries.map((entry) => esbuild.build({ ...common, sourcemap: true, logLevel: 'warning', ...entry })),
  );
  const page = path.join(ROOT, DASHBOARD, 'index.html');
  if (fs.existsSync(page)) fs.copyFileSync(page, path.join(DIST, 'dashboard', 'index.html'));
  return results.every((result) => result.status === 'fulfilled');
}

/** The chart library's sheet first, so that ours can overrule it. */
function dashboardStyle() {
  const sheets = ['uplot/dist/uPlot.min.css'];
  if (fs.existsSync(path.join(ROOT, DASHBOARD, 'style.css'))) sheets.push('./style.css');
  const contents = sheets.map((sheet) => `@import '${sheet}';`).join('\n');
  return { contents, loader: 'css', resolveDir: path.join(ROOT, DASHBOARD) };
}

/** Deletes compiled files whose source is gone: a test or a worker could still load them. */
function removeOrphans() {
  for (const folder of SOURCE_FOLDERS) {
    const out = path.join(DIST, folder);
    if (!fs.existsSync(out)) continue;
    for (const file of fs.readdirSync(out, { recursive: true })) {
      const source = file.replace(/\.(d\.ts|js\.map|js)$/, '.ts');
      if (source === file || fs.existsSync(path.join(ROOT, folder, source))) continue;
      fs.rmSync(path.join(out, file), { force: true });
    }
  }
}

/** `npx ringmq` inside a clone: npm links the commands of dependencies, not the package's own. */
function linkOwnBin() {
  const folder = path.join(ROOT, 'node_modules', '.bin');
  const link = path.join(folder, 'ringmq');
  // Windows has no symbolic links without a privilege; npx falls back to its own, slower way there.
  if (process.platform === 'win32' || !fs.existsSync(folder) || fs.existsSync(link)) return;
  fs.rmSync(link, { force: true });
  fs.symlinkSync('../../bin/ringmq.mjs', link);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const startedAt = performance.now();
  const outcome = await build({ force: process.argv.includes('--force') });
  console.error(`ringmq: dist is ${outcome} (${Math.round(performance.now() - startedAt)} ms)`);
  process.exitCode = outcome === 'broken' ? 1 : 0;
}
