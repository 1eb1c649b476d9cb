import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { decodeFrames, decodePieces, decodePositions, decodeScalars, decodeUpdate, frameBytes, jsonNumber } from '../src/data/decode';
import { DecodeError } from '../src/data/fields';
import { pieceBytes } from '../src/data/further';
import { isFailure, type Frame } from '../src/data/types';

const raw = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

function body(value: unknown): ArrayBuffer {
  const bytes = encode(value);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
}

const snapshot = {
  iteration: 120,
  plan: 0,
  tier: 'core',
  time_unix_s: 1.5,
  scalars: { loss: 2.5 },
  events: [{ kind: 'checkpoint', text: '' }],
  gradient_state: { default: 'used', exceptions: { 3: 'unavailable' }, reason: '' },
  values: raw(new Uint16Array([0x3c00, 0x7e00, 0xfc00])),
  vectors: raw(new Float32Array([1.5, -2.25])),
  statistics: raw(new Float32Array([1, 2, 3, 4])),
  gradient_statistics: null,
  embedding: {
    tensor: 'wte',
    basis: 7,
    exact: true,
    coordinates: raw(new Float32Array([1, 2, 3])),
    magnitude: raw(new Float32Array([9])),
    explained: [0.5, 0.25, 0.125],
  },
};

describe('frames', () => {
  test('a snapshot keeps its float16 patterns and float32 values bit by bit, wherever they lie in the body', () => {
    // Texts of different length shift the arrays to odd addresses.
    for (const tier of ['', 'x', 'xx', 'xxx']) {
      const [frame] = decodeFrames(body({ ...snapshot, tier })) as [Frame];
      expect([...frame.values!]).toEqual([0x3c00, 0x7e00, 0xfc00]);
      expect([...frame.vectors!]).toEqual([1.5, -2.25]);
      expect(frame.embedding!.coordinates).toEqual(new Float32Array([1, 2, 3]));
      expect(frame.embedding!.basis).toBe(7);
      expect(frame.gradient_state.exceptions['3']).toBe('unavailable');
    }
  });

  test('a part that was not recorded is null, not zeros', () => {
    const [frame] = decodeFrames(body({ ...snapshot, values: null, embedding: null })) as [Frame];
    expect(frame.values).toBeNull();
    expect(frame.gradient_statistics).toBeNull();
    expect(frame.embedding).toBeNull();
  });

  test('a list tells its damaged members from the sound ones', () => {
    const failure = { iteration: 121, error: { kind: 'damaged', message: 'checksum', key: 'iterations/121' } };
    const results = decodeFrames(body([snapshot, failure]));
    expect(results.map(isFailure)).toEqual([false, true]);
    expect(results[1]!.iteration).toBe(121);
  });

  test('half an item is an error that names the part and its size', () => {
    const torn = { ...snapshot, vectors: new Uint8Array(5) };
    expect(() => decodeFrames(body(torn))).toThrow(/vectors: 5 bytes/);
    expect(() => decodeFrames(body({ ...snapshot, values: 'text' }))).toThrow(DecodeError);
  });

  test('the bytes of a frame are those of its arrays and a flat allowance', () => {
    const [frame] = decodeFrames(body(snapshot)) as [Frame];
    expect(frameBytes(frame)).toBe(6 + 8 + 16 + 12 + 4 + 1024);
  });
});

test('positions beyond 32 bits stay exact', () => {
  const values = raw(new BigInt64Array([0n, 5_000_000_000n]));
  const positions = decodePositions(body({ values, vectors: new Uint8Array(0) }));
  expect([...positions.values]).toEqual([0, 5_000_000_000]);
  expect(positions.vectors).toHaveLength(0);
});

test('scalars come with their iterations', () => {
  const loss = { iterations: raw(new BigInt64Array([1n, 2n])), values: raw(new Float64Array([0.5, NaN])) };
  const scalars = decodeScalars(body({ loss }));
  expect([...scalars.loss!.iterations]).toEqual([1, 2]);
  expect([...scalars.loss!.values]).toEqual([0.5, NaN]);
});

test('numbers that JSON cannot hold come back from their names, and nothing else does', () => {
  expect(jsonNumber('NaN')).toBeNaN();
  expect(jsonNumber('-Infinity')).toBe(-Infinity);
  expect(jsonNumber(2)).toBe(2);
  expect(() => jsonNumber('12')).toThrow(DecodeError);
});

test('a tail message has real numbers after decoding', () => {
  const message = {
    run: 'a',
    cursor: '1',
    status: 'recording' as const,
    age_s: 0,
    iterations: [1],
    plan: 0,
    basis: null,
    scalars: [[1, { loss: 'Infinity' as unknown as number }]] as [number, Record<string, number>][],
    events: [],
    committed_unix_s: null,
  };
  expect(decodeUpdate(message).scalars[0]![1].loss).toBe(Infinity);
});

describe('further parts', () => {
  const bytes = (numbers: Uint16Array | Int16Array) => new Uint8Array(numbers.buffer);
  const cells = { mean: bytes(new Uint16Array([1, 2])), rms: bytes(new Uint16Array([3, 4])), absmax: null, exponents: bytes(new Int16Array([-3, 0, 2])) };

  test('of one snapshot or of several, nil where it is not held', () => {
    const [piece] = decodePieces(body({ iteration: 8, plan: 1, cells }), 'cells') as { content: { mean: Uint16Array; absmax: null; exponents: Int16Array } }[];
    expect([...piece!.content.mean]).toEqual([1, 2]);
    expect(piece!.content.absmax).toBeNull();
    expect([...piece!.content.exponents]).toEqual([-3, 0, 2]);
    const list = decodePieces(body([{ iteration: 9, plan: 1, cells: null }, { iteration: 10, error: { kind: 'damaged', message: 'm', key: 'k' } }]), 'cells');
    expect(list[0]).toEqual({ iteration: 9, plan: 1, content: null });
    expect('error' in list[1]!).toBe(true);
  });

  test('what lacks a field that it cannot be without is refused', () => {
    expect(() => decodePieces(body({ iteration: 8, plan: 1, norms: { columns: null } }), 'norms')).toThrow(DecodeError);
  });

  test('their bytes are counted', () => {
    const [piece] = decodePieces(body({ iteration: 8, plan: 1, cells }), 'cells');
    expect(pieceBytes(piece as never)).toBe(256 + 4 + 6);
  });
});
