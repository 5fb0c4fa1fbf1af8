/** Paths of the configuration that follow `dir`. */
import { resolve } from 'node:path';
import type { Values } from './directives.ts';

/** The absolute path of the Unix socket, or ''. */
export const unixSocketPath = (values: Values): string => inDir(values, values.unixsocket);

/** The absolute path of the file with the process id, or ''. */
export const pidFilePath = (values: Values): string => inDir(values, values.pidfile);

/** Redis changes its working directory to `dir`. This program stays, with the same paths. */
function inDir({ dir }: Values, path: string): string {
  return path === '' ? '' : resolve(dir, path);
}
