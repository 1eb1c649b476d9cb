import { describe, expect, test } from 'vitest';
import { halfToNumber } from '../src/data/half';
import {
  BLOCK_HUES,
  magnitudeColour,
  MAGNITUDE_STOPS,
  NAN_COLOUR,
  RAMPS,
  sharedScale,
  tensorScale,
  valueColour,
  type Rgb,
} from '../src/layout/colour';
import { COLOUR_GLSL } from '../src/render/shaders';

type Colouring = (bits: number, scale: number, hue: Rgb) => Rgb;

const ramp = RAMPS.dark;

/** The shader's own text, run as JavaScript: its few words mean the same in both. */
function compileShader(): { half: Colouring; single: Colouring } {
  const script = COLOUR_GLSL.replace(/uniform vec3 \w+;/g, '')
    .replace(/vec3 (\w+)\((?:float|uint) (\w+), float scale, vec3 hue\)/g, 'function $1($2, scale, hue)')
    .replace(/float share/g, 'let share')
    .replace(/0x([0-9a-f]+)u/g, '0x$1')
    .replace(/0u/g, '0')
    .replace(/==/g, '===')
    .replace(/\((bits & 0x[0-9a-f]+)\)/g, '(($1) >>> 0)');
  const view = new DataView(new ArrayBuffer(4));
  const words = {
    uZero: ramp.zero,
    uNegative: ramp.negative,
    vec3: (...channels: number[]) => channels,
    mix: (a: number[], b: number[], t: number) => a.map((channel, index) => channel + (b[index]! - channel) * t),
    min: Math.min,
    abs: Math.abs,
    pow: Math.pow,
    unpackHalf2x16: (bits: number) => ({ x: halfToNumber(bits) }),
    uintBitsToFloat: (bits: number) => {
      view.setUint32(0, bits);
      return view.getFloat32(0);
    },
  };
  const names = Object.keys(words);
  const make = new Function(...names, `${script}; return { half: halfColour, single: singleColour };`);
  return make(...Object.values(words)) as { half: Colouring; single: Colouring };
}

const same = (a: Rgb, b: Rgb) => a.every((channel, index) => Math.abs(channel - b[index]!) < 1e-9);

describe('the shader and its twin', () => {
  const shader = compileShader();
  const hue = BLOCK_HUES.attention;

  test('agree on every half-float pattern, NaN and inf included', () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 65536; bits += 1) {
      if (!same(shader.half(bits, 0.05, hue), valueColour(halfToNumber(bits), 0.05, hue, ramp))) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  test('agree on float32 patterns', () => {
    const view = new DataView(new ArrayBuffer(4));
    for (const value of [0, -0, 1, -1, 1e-40, 3.4e38, NaN, Infinity, -Infinity, 0.333, -0.04]) {
      view.setFloat32(0, value);
      expect(same(shader.single(view.getUint32(0), 0.5, hue), valueColour(Math.fround(value), 0.5, hue, ramp))).toBe(true);
    }
  });
});

describe('values', () => {
  const hue = BLOCK_HUES.mlp;

  test('zero is mid-grey, the ends are the hue and near-black, beyond them is clipped', () => {
    expect(valueColour(0, 1, hue, ramp)).toEqual(ramp.zero);
    expect(same(valueColour(1, 1, hue, ramp), hue)).toBe(true);
    expect(same(valueColour(-9, 1, hue, ramp), ramp.negative)).toBe(true);
  });

  test('lightness rises with the value, so the sign survives colour blindness', () => {
    const lightness = ([r, g, b]: Rgb) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
    for (const each of Object.values(RAMPS)) {
      for (const colour of Object.values(BLOCK_HUES)) {
        const steps = Array.from({ length: 41 }, (_, index) => lightness(valueColour(index / 20 - 1, 1, colour, each)));
        expect(steps.every((value, index) => index === 0 || value > steps[index - 1]!)).toBe(true);
      }
    }
  });

  test('a tensor without a scale is grey, but its NaN is still seen', () => {
    expect(valueColour(5, 0, hue, ramp)).toEqual(ramp.zero);
    expect(valueColour(NaN, 0, hue, ramp)).toEqual(NAN_COLOUR);
  });
});

describe('scales', () => {
  test('three rms, or the largest value where that is less', () => {
    expect(tensorScale(0.02, 0.5)).toBeCloseTo(0.06);
    expect(tensorScale(1, 1)).toBe(1);
    expect(tensorScale(NaN, 2)).toBe(2);
    expect(tensorScale(0, 0)).toBe(0);
  });

  test('the shared scale is the median, which one outlier does not move', () => {
    expect(sharedScale([0.1, 0.2, 1e9])).toBe(0.2);
    expect(sharedScale([0, 0])).toBe(0);
  });
});

test('the magnitude map runs from its first to its last colour and is clipped', () => {
  expect(magnitudeColour(-1)).toEqual(MAGNITUDE_STOPS[0]);
  expect(same(magnitudeColour(2), MAGNITUDE_STOPS.at(-1)!)).toBe(true);
});
