/** The version of Redis that this program follows; HELLO, INFO and dumps report it. */
export const REDIS_VERSION = '7.2.4';
/** Its release. */
export const REDIS_COMPAT: string = REDIS_VERSION.slice(0, REDIS_VERSION.lastIndexOf('.'));
