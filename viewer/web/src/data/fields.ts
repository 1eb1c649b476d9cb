/** Fields of msgpack maps as typed arrays. Every copy is made here, once. */

/** The answer was not what docs/HTTP.md promises. */
export class DecodeError extends Error {}

export type Fields = Record<string, unknown>;

function bytesOf(value: unknown, name: string, itemBytes: number): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new DecodeError(`${name}: expected raw bytes, got ${typeof value}.`);
  }
  if (value.byteLength % itemBytes !== 0) {
    throw new DecodeError(
      `${name}: ${value.byteLength} bytes are not a whole number of ${itemBytes}-byte items.`,
    );
  }
  return value;
}

/** A copy that starts at a multiple of the item size, as typed arrays demand. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.byteLength);
  new Uint8Array(copy).set(bytes);
  return copy;
}

export const float32 = (value: unknown, name: string) => new Float32Array(aligned(bytesOf(value, name, 4)));
export const float64 = (value: unknown, name: string) => new Float64Array(aligned(bytesOf(value, name, 8)));
export const uint16 = (value: unknown, name: string) => new Uint16Array(aligned(bytesOf(value, name, 2)));
export const int16 = (value: unknown, name: string) => new Int16Array(aligned(bytesOf(value, name, 2)));
export const uint32 = (value: unknown, name: string) => new Uint32Array(aligned(bytesOf(value, name, 4)));
export const int32 = (value: unknown, name: string) => new Int32Array(aligned(bytesOf(value, name, 4)));

/** int64 to numbers: positions and iterations stay far below 2**53. */
export function int64(value: unknown, name: string): Float64Array {
  const wide = new BigInt64Array(aligned(bytesOf(value, name, 8)));
  return Float64Array.from(wide, Number);
}

export function optional<T>(value: unknown, name: string, read: (v: unknown, n: string) => T): T | null {
  return value === null || value === undefined ? null : read(value, name);
}

export function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DecodeError(`${name}: expected a map, got ${Array.isArray(value) ? 'a list' : typeof value}.`);
  }
  return value as Fields;
}
