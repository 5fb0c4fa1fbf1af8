/** What this program calls itself, and the Redis version that it speaks. */
import { readFileSync } from 'node:fs';
import { REDIS_COMPAT } from '../../base/redis-version.ts';

interface Manifest {
  readonly version: string;
}

// The same number of folders lead up to package.json from src/ and from dist/.
const manifest = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as Manifest;

export const PRODUCT_VERSION: string = manifest.version;

/** The line of `--version`. */
export function versionLine(): string {
  const { platform, arch, versions } = process;
  return `headwater ${PRODUCT_VERSION} (node ${versions.node}, ${platform} ${arch}, native-free) redis-compat ${REDIS_COMPAT}`;
}
