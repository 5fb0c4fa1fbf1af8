/** The clock of 24 bits, in seconds, that tells when a key was last used. */
const ACCESS_CLOCK_MAX = 0xffffff;

/**
 * The clock of so many seconds ago. Redis takes half of its range for what is longer ago than it
 * tells.
 */
export function accessBefore(clock: number, idle: number): number {
  return idle <= clock ? clock - idle : (clock + (ACCESS_CLOCK_MAX >>> 1)) % ACCESS_CLOCK_MAX;
}
