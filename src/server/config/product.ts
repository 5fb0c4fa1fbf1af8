/** The name of this program, and the Redis version that it implements. */
import { readFileSync } from 'node:fs';
import { packageUrl } from '../../base/package-root.ts';
import { REDIS_COMPAT } from '../../base/redis-version.ts';

interface Manifest {
  readonly version: string;
}

const manifest = JSON.parse(readFileSync(packageUrl('package.json'), 'utf8')) as Manifest;

export const PRODUCT_VERSION: string = manifest.version;

/** The line of `--version`. */
export function versionLine(): string {
  const { platform, arch, versions } = process;
  return `headwater ${PRODUCT_VERSION} (node ${versions.node}, ${platform} ${arch}, native-free) redis-compat ${REDIS_COMPAT}`;
}
