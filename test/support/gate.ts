/**
 * A gate for steps of a disk or a socket: while it is closed they wait. A test opens it in its
 * `afterEach` as well, since a node does not end before its steps have.
 */
export class Gate {
  #isOpen: boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(isOpen: boolean) {
    this.#isOpen = isOpen;
  }

  /** Steps that wait. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** Resolves at once while the gate is open, or when it is opened. */
  pass(): Promise<void> {
    if (this.#isOpen) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#isOpen = false;
  }

  /** Lets go all that wait, and those that come later. */
  open(): void {
    this.#isOpen = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
