/** The Redis whose ways this server follows, as HELLO and INFO tell it. */
import { assert } from '../../../base/assert.ts';
import { REDIS_COMPAT } from '../../config/product.ts';

export const REDIS_VERSION = '7.2.4';

assert(
  REDIS_VERSION.startsWith(`${REDIS_COMPAT}.`),
  'the version told is one of the release that is followed',
);
