/** IEEE 754 binary16 to numbers, by table: 65,536 patterns, made once. */

function decodeHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

let table: Float32Array | null = null;

/** The value of a float16 bit pattern; every float16 is exact in a number. */
export function halfToNumber(bits: number): number {
  table ??= Float32Array.from({ length: 65536 }, (_, pattern) => decodeHalf(pattern));
  return table[bits & 0xffff]!;
}
