import { expect, test } from 'vitest';
import { halfToNumber } from '../src/data/half';

/** An independent reference: the value's bits are widened to float32 and read by the platform. */
function reference(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  let exponent = (bits >> 10) & 0x1f;
  let fraction = bits & 0x3ff;
  if (exponent === 0x1f) {
    exponent = 0xff;
  } else if (exponent > 0) {
    exponent += 127 - 15;
  } else if (fraction > 0) {
    exponent = 127 - 14;
    while (!(fraction & 0x400)) {
      fraction <<= 1;
      exponent -= 1;
    }
    fraction &= 0x3ff;
  }
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, sign | (exponent << 23) | (fraction << 13));
  return view.getFloat32(0);
}

test('every one of the 65,536 half-float patterns decodes to its value', () => {
  for (let bits = 0; bits < 65536; bits += 1) {
    if (!Object.is(halfToNumber(bits), reference(bits))) expect([bits, halfToNumber(bits)]).toEqual([bits, reference(bits)]);
  }
});

test('the corners of the format have their known values', () => {
  expect(halfToNumber(0x0001)).toBe(2 ** -24);
  expect(halfToNumber(0x7bff)).toBe(65504);
  expect(halfToNumber(0x7c00)).toBe(Infinity);
  expect(halfToNumber(0xfc00)).toBe(-Infinity);
  expect(halfToNumber(0x7e01)).toBeNaN();
  expect(Object.is(halfToNumber(0x8000), -0)).toBe(true);
});
