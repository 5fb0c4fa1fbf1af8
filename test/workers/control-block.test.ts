import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../src/base/errors.ts';
import {
  ControlWord,
  errorCodeOf,
  errorWordOf,
  LoadControl,
  LoadCounter,
  SnapshotControl,
  SnapshotCounter,
  TaskState,
} from '../../src/workers/control-block.ts';

describe('a control block', () => {
  test('is one memory seen from both sides', () => {
    const main = new SnapshotControl();
    const worker = new SnapshotControl(main.shared);
    main.keysTotal = 10;
    expect(worker.keysTotal).toBe(10);
    expect(worker.cancelled).toBe(false);
    main.cancel();
    expect(worker.cancelled).toBe(true);
  });

  test.each([0, 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])(
    'counts to %i',
    (value) => {
      const control = new LoadControl();
      control.keysTotal = value;
      control.keysDone = value;
      control.bytesDone = value;
      control.keysExpired = value;
      const other = new LoadControl(control.shared);
      expect([other.keysTotal, other.keysDone, other.bytesDone, other.keysExpired]).toEqual(
        Array(4).fill(value),
      );
    },
  );

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses the count %d', (value) => {
    expect(() => {
      new SnapshotControl().bytesDone = value;
    }).toThrow('a counter is an integer below 2^53');
  });

  test('refuses memory of another size', () => {
    expect(() => new LoadControl(new SharedArrayBuffer(64))).toThrow('memory of a control block');
  });
});

describe('a task', () => {
  test('goes from waiting over running to done, and leaves its result', () => {
    const main = new SnapshotControl();
    const worker = new SnapshotControl(main.shared);
    expect(main.state).toBe(TaskState.WAITING);
    worker.start();
    expect(main.state).toBe(TaskState.RUNNING);
    worker.succeed({ keys: 3, checksum: new Uint8Array([1, 2, 255]) });
    expect(main.state).toBe(TaskState.DONE);
    expect(main.failure).toBeUndefined();
    const result = main.record<{ keys: number; checksum: Uint8Array }>();
    expect([result.keys, [...result.checksum]]).toEqual([3, [1, 2, 255]]);
  });

  test('that fails leaves code and message, also before it runs', () => {
    const control = new LoadControl();
    control.fail('CORRUPT', 'unknown opcode');
    expect([control.state, control.failure]).toEqual([TaskState.FAILED, 'CORRUPT']);
    expect(control.record()).toEqual({ message: 'unknown opcode' });
  });

  test('cuts a message that is too long', () => {
    const control = new LoadControl();
    control.fail('IO', '€'.repeat(5000));
    expect(control.record()).toEqual({ message: '€'.repeat(1000) });
  });

  const misuses: readonly [string, (control: SnapshotControl) => void][] = [
    [
      'start twice',
      (c) => {
        c.start();
        c.start();
      },
    ],
    ['succeed before start', (c) => c.succeed({})],
    [
      'fail after the end',
      (c) => {
        c.start();
        c.succeed({});
        c.fail('IO', '');
      },
    ],
    ['read a record before the end', (c) => c.record()],
    [
      'leave a result that does not fit',
      (c) => {
        c.start();
        c.succeed({ text: 'x'.repeat(5000) });
      },
    ],
  ];
  test.each(misuses)('must not %s', (_name, act) => {
    expect(() => act(new SnapshotControl())).toThrowError(
      expect.objectContaining({ name: 'AssertionFailed' }),
    );
  });
});

test('error codes and their words are one to one, and 0 is none', () => {
  const codes = Object.values(ErrorCode);
  expect(codes.map((code) => errorCodeOf(errorWordOf(code)))).toEqual(codes);
  expect(new Set(codes.map(errorWordOf)).size).toBe(codes.length);
  expect(errorCodeOf(0)).toBeUndefined();
  expect(() => errorCodeOf(codes.length + 1)).toThrow('a word of the table');
});

test('the words are where the drawing has them', () => {
  expect(ControlWord).toEqual({ CANCEL: 0, STATE: 1, ERROR: 2, RECORD_BYTES: 3 });
  expect(SnapshotCounter).toEqual({ KEYS_TOTAL: 4, KEYS_DONE: 6, BYTES_DONE: 8 });
  expect(LoadCounter).toEqual({ KEYS_TOTAL: 4, KEYS_DONE: 6, BYTES_DONE: 8, KEYS_EXPIRED: 10 });
});
