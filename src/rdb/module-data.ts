/**
 * Data of modules, which are not run here: their names, and how to pass over what can be spared.
 *
 *   module id      64 bits:  name, 9 characters of 6 bits · version, 10 bits
 *   class          32 bits:  name, 4 characters of 6 bits · version, 5 bits · flags, 3 bits
 *   key metadata   KEY_META · count · { class u32 LE · data }
 *   data           { a length of {@link ModuleOpcode} · part } · EOF
 *
 * A module marks the metadata that a reader without the module may leave out. All other data of
 * modules is refused: a dataset without it is another one. On the loading worker, and on the main
 * thread for RESTORE.
 */
import type { BytesView } from '../keyspace/entry.ts';
import { ModuleOpcode } from './opcodes.ts';
import { keyMetadataName, type SkippedParts } from './skipped.ts';
import type { DumpSource } from './source.ts';

const MODULE_CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const CLASS_CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-';
/** A key has metadata of so many classes at most. */
const CLASSES_MAX = 7;
/** The flag of a class: a reader without the module may leave the metadata out. */
const CLASS_MAY_BE_IGNORED = 1;
const CLASS_NAME_SHIFTS = [26, 20, 14, 8];

/** The name in a module's id, whose halves are unsigned. */
export function moduleName(high: number, low: number): string {
  const id = (BigInt(high) << 32n) | BigInt(low);
  let name = '';
  for (let shift = 58n; shift >= 10n; shift -= 6n)
    name += MODULE_CHARS[Number((id >> shift) & 63n)];
  return name;
}

/**
 * Passes over what follows KEY_META: the metadata of the key that comes next. Returns the name of
 * the first class that may not be left out, or '' when there is none.
 */
export function skipKeyMetadata(
  source: DumpSource,
  view: BytesView,
  skipped: SkippedParts,
): string {
  const count = source.length('the count of metadata of a key');
  if (count > CLASSES_MAX) throw source.corrupt(`Too many metadata classes: ${count}`);
  let refused = '';
  for (let i = 0; i < count; i++) {
    const metadataClass = source.u32();
    skipModuleData(source, view);
    const name = keyMetadataName(className(metadataClass));
    if ((metadataClass & CLASS_MAY_BE_IGNORED) !== 0) skipped.note(name);
    else if (refused === '') refused = name;
  }
  return refused;
}

function skipModuleData(source: DumpSource, view: BytesView): void {
  for (;;) {
    const opcode = source.length('the kind of a part of module data');
    switch (opcode) {
      case ModuleOpcode.EOF:
        return;
      case ModuleOpcode.SINT:
      case ModuleOpcode.UINT:
        if (source.readLength() < 0) throw source.corrupt('an integer of module data is no length');
        break;
      case ModuleOpcode.FLOAT:
        source.skip(4);
        break;
      case ModuleOpcode.DOUBLE:
        source.skip(8);
        break;
      case ModuleOpcode.STRING:
        source.string(view);
        break;
      default:
        throw source.corrupt(`unknown kind ${opcode} of a part of module data`);
    }
  }
}

const className = (metadataClass: number): string =>
  CLASS_NAME_SHIFTS.map((shift) => CLASS_CHARS[(metadataClass >>> shift) & 63]).join('');
