/**
 * What a guarded unit (Keyspace.beginGuarded) needs to take back changes outside of the arena:
 * deadlines in the expiry index, tables that were exchanged. Whoever changes such a thing while the
 * log is active notes how to undo it; a rollback does so in reverse order. Outside of units nothing
 * is noted: one branch.
 */
export type Undo = () => void;

export class UndoLog {
  /** Whether changes are to be noted. */
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
