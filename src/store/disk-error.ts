// Errors of the disk, as opposed to errors of this program.

/** True for what the operating system said of the disk (EIO, EROFS ...), as opposed to an error of this program. */
export function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  const { code } = error as NodeJS.ErrnoException;
  return error instanceof Error && typeof code === 'string' && /^E[A-Z0-9]+$/.test(code);
}
