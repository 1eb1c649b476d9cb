import { describe, expect, test } from 'vitest';
import { halfToNumber } from '../src/data/half';
import {
  blend,
  BLOCK_HUES,
  extremeColour,
  extremeShare,
  magnitudeColour,
  MAGNITUDE_STOPS,
  NAN_COLOUR,
  RAMPS,
  sharedScale,
  tensorScale,
  valueColour,
  type Rgb,
} from '../src/layout/colour';
import { COLOUR_GLSL } from '../src/render/colourshader';

/** A number and its kind, as the shader has it. */
interface Kinded {
  x: number;
  y: number;
}

interface ShaderWords {
  half(bits: number): Kinded;
  single(bits: number): Kinded;
  blend(a: Kinded, b: Kinded, weights: Kinded): Kinded;
  colour(number: Kinded, scale: number, hue: Rgb): Rgb;
  extreme(colour: Rgb, absmax: Kinded, typical: number, hue: Rgb): Rgb;
}

const ramp = RAMPS.dark;

/** The shader's own text, run as JavaScript: its few words mean the same in both. */
function compileShader(): ShaderWords {
  const script = COLOUR_GLSL.replace(/uniform vec3 \w+;/g, '')
    .replace(/^(?:vec2|vec3) (\w+)\((.*)\) \{$/gm, (_, name: string, parameters: string) => {
      const names = parameters.split(', ').map((parameter) => parameter.split(' ')[1]!);
      return `function ${name}(${names.join(', ')}) {`;
    })
    .replace(/float share/g, 'let share')
    .replace(/0x([0-9a-f]+)u/g, '0x$1')
    .replace(/0u/g, '0')
    .replace(/==/g, '===')
    .replace(/\((bits & 0x[0-9a-f]+)\)/g, '(($1) >>> 0)');
  const view = new DataView(new ArrayBuffer(4));
  const words = {
    uZero: ramp.zero,
    uNegative: ramp.negative,
    vec2: (x: number, y: number) => ({ x, y }),
    vec3: (...channels: number[]) => channels,
    mix: (a: number[], b: number[], t: number) => a.map((channel, index) => channel + (b[index]! - channel) * t),
    min: Math.min,
    abs: Math.abs,
    pow: Math.pow,
    smoothstep: (from: number, to: number, x: number) => {
      const t = Math.min(Math.max((x - from) / (to - from), 0), 1);
      return t * t * (3 - 2 * t);
    },
    unpackHalf2x16: (bits: number) => ({ x: halfToNumber(bits) }),
    uintBitsToFloat: (bits: number) => {
      view.setUint32(0, bits);
      return view.getFloat32(0);
    },
  };
  const names = '{ half: halfNumber, single: singleNumber, blend, colour: numberColour, extreme: extremeColour }';
  const make = new Function(...Object.keys(words), `${script}; return ${names};`);
  return make(...Object.values(words)) as ShaderWords;
}

const same = (a: Rgb, b: Rgb) => a.every((channel, index) => Math.abs(channel - b[index]!) < 1e-9);

describe('the shader and its twin', () => {
  const shader = compileShader();
  const hue = BLOCK_HUES.attention;

  test('agree on every half-float pattern, NaN and inf included', () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 65536; bits += 1) {
      const colour = shader.colour(shader.half(bits), 0.05, hue);
      if (!same(colour, valueColour(halfToNumber(bits), 0.05, hue, ramp))) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  test('agree on float32 patterns', () => {
    const view = new DataView(new ArrayBuffer(4));
    for (const value of [0, -0, 1, -1, 1e-40, 3.4e38, NaN, Infinity, -Infinity, 0.333, -0.04]) {
      view.setFloat32(0, value);
      const colour = shader.colour(shader.single(view.getUint32(0)), 0.5, hue);
      expect(same(colour, valueColour(Math.fround(value), 0.5, hue, ramp))).toBe(true);
    }
  });

  test('agree on differences and mixes, also of what is not finite', () => {
    const halves = [0x0000, 0x3c00, 0xbc00, 0x2e66, 0x7c00, 0xfc00, 0x7e00];
    for (const a of halves) {
      for (const b of halves) {
        for (const [first, second] of [[1, -1], [0.25, 0.75], [1, 0]] as const) {
          const mixed = shader.blend(shader.half(a), shader.half(b), { x: first, y: second });
          const expected = blend(halfToNumber(a), halfToNumber(b), [first, second]);
          expect(same(shader.colour(mixed, 2, hue), valueColour(expected, 2, hue, ramp))).toBe(true);
        }
      }
    }
  });

  test('agree on extremes', () => {
    const base = valueColour(0.1, 1, hue, ramp);
    for (const bits of [0x0000, 0x3c00, 0x4100, 0x4900, 0x7c00, 0x7e00]) {
      const colour = shader.extreme(base, shader.half(bits), 1, hue);
      expect(same(colour, extremeColour(base, halfToNumber(bits), 1, hue))).toBe(true);
    }
    expect(same(shader.extreme(base, shader.half(0x4900), 0, hue), base)).toBe(true);
  });
});

describe('two numbers in one', () => {
  test('a difference and a mix are what they say', () => {
    expect(blend(3, 1, [1, -1])).toBe(2);
    expect(blend(3, 1, [0.25, 0.75])).toBe(1.5);
    expect(blend(3, NaN, [1, 0])).toBe(3);
  });

  test('what is not finite is not hidden by its partner', () => {
    expect(blend(Infinity, 1, [1, -1])).toBe(Infinity);
    expect(blend(1, Infinity, [1, -1])).toBe(-Infinity);
    expect(blend(1, NaN, [1, -1])).toBeNaN();
    expect(blend(Infinity, Infinity, [1, -1])).toBeNaN();
    expect(blend(Infinity, Infinity, [0.5, 0.5])).toBe(Infinity);
  });
});

test('an extreme stands out wholly or not at all, and lighter than any value', () => {
  const hue = BLOCK_HUES.mlp;
  const base = valueColour(1, 1, hue, ramp);
  expect(extremeColour(base, 1.5, 1, hue)).toEqual(base);
  const [, green, blue] = extremeColour(base, 10, 1, hue);
  expect(green).toBeGreaterThan(hue[1]);
  expect(blue).toBeGreaterThan(hue[2]);
  expect(extremeShare(10, 0)).toBe(0);
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
