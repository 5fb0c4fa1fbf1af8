/**
 * Lets a guarded unit (Keyspace.beginGuarded) undo changes outside of the arena: deadlines in the
 * expiry index, exchanged tables. While the log is active, code that changes these notes how to
 * undo it; a rollback does so in reverse order. Outside of units nothing is noted, at the cost of
 * one branch.
 */
export type Undo = () => void;

export class UndoLog {
  /** Whether changes must be noted. */
  active = false;
  readonly #undos: Undo[] = [];

  note(undo: Undo): void {
    this.#undos.push(undo);
  }

  begin(): void {
    this.active = true;
  }

  commit(): void {
    this.active = false;
    this.#undos.length = 0;
  }

  rollback(): void {
    this.active = false;
    while (this.#undos.length > 0) this.#undos.pop()!();
  }
}
