/** The clock of 24 bits, in seconds, for the time of a key's last use. */
const ACCESS_CLOCK_MAX = 0xffffff;

/** The clock some seconds ago. Redis uses half of the range for times beyond the clock's reach. */
export function accessBefore(clock: number, idle: number): number {
  return idle <= clock ? clock - idle : (clock + (ACCESS_CLOCK_MAX >>> 1)) % ACCESS_CLOCK_MAX;
}
