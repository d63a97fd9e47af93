// One broker at a time uses a data folder.
//
// Who writes: the thread that starts a broker, and those of other processes that want the same folder.
//
//   I1  A claim is an empty file, LOCK/<process id>-<start time>-<boot>-<random>, whose name never comes again. Whoever
//       finds the claim of a process that has ended may remove it, however late: it is nobody else's.
//   I2  Everybody makes its claim first and looks for others afterwards: of two starters one at least sees the other,
//       so never do both go on. If both withdraw, chance decides who is first the next time.
//   I3  A claim says which life of the process id made it (start time and boot), so that a stranger who got the number
//       of a killed broker, or the same number in a container that was started again, keeps nobody out.
//
// Processes see each other only within one machine and one container: a folder that several mount is not protected.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RingmqError } from '../base/codes.ts';

/** Folder of the claims, inside the data folder. */
export const LOCK_NAME = 'LOCK';
const TRIES = 8;
const WAIT_MS = 20;

/** A folder that is ours until release(). */
export interface FolderLock {
  release(): void;
}

/** Takes the folder, which exists. Rejects with `data-in-use` while another broker, also of this process, has it. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const lock = path.join(folder, LOCK_NAME);
  const name = `${process.pid}-${lifeOf(process.pid)}-${randomBytes(6).toString('hex')}`;
  let holder = 0;
  for (let i = 0; i < TRIES; i++) {
    if (claim(lock, name)) {
      holder = otherHolder(lock, name);
      if (holder === 0) return { release: () => withdraw(lock, name) };
      withdraw(lock, name);
    }
    await sleep(Math.random() * WAIT_MS * (i + 1));
  }
  const who = holder === process.pid ? 'another broker of this process' : `the broker with process id ${holder}`;
  throw new RingmqError('data-in-use', `the data folder ${folder} is used by ${who}: stop it, or name another folder`);
}

/** False: somebody who gave the lock up took its folder away at this moment. */
function claim(lock: string, name: string): boolean {
  try {
    fs.mkdirSync(lock, { recursive: true });
    fs.closeSync(fs.openSync(path.join(lock, name), 'wx'));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function withdraw(lock: string, name: string): void {
  fs.rmSync(path.join(lock, name), { force: true });
  try {
    fs.rmdirSync(lock);
  } catch {
    // Another one's claim is in it.
  }
}

/** Process id of a claim that is not ours and whose process lives; 0: there is none. Claims of dead ones go away. */
function otherHolder(lock: string, own: string): number {
  for (const name of fs.readdirSync(lock)) {
    if (name === own) continue;
    if (isAlive(name)) return Number(name.split('-')[0]);
    fs.rmSync(path.join(lock, name), { force: true });
  }
  return 0;
}

function isAlive(name: string): boolean {
  const [digits, start, boot] = name.split('-');
  const pid = Number(digits);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const life = lifeOf(pid);
  return life === UNKNOWN_LIFE || life === `${start}-${boot}`;
}

const UNKNOWN_LIFE = '0-0';

/** Start time of a process, and the boot of the machine, where the system tells them (Linux). */
function lifeOf(pid: number): string {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().replaceAll('-', '');
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces; the start time is the 20th field behind it.
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${started}-${boot}`;
  } catch {
    return UNKNOWN_LIFE;
  }
}
