/** Makes an allocator refuse memory where a test wants it. */
export class Refusals {
  /** The number of allocations before the one that is refused; -1 refuses none. */
  left = -1;
  /** Whether all allocations are refused. */
  all = false;
  /** The number of allocations since {@link refuse}. */
  asked = 0;
  /** For AllocatorOptions. */
  readonly refuses = (): boolean => {
    this.asked++;
    return this.all || this.left-- === 0;
  };

  /** Refuses the n-th allocation from now on, counted from 0. */
  refuse(n: number): void {
    this.left = n;
    this.asked = 0;
  }

  none(): void {
    this.left = -1;
    this.all = false;
  }
}
