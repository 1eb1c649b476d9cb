/** The colour maths of layout/colour.ts in GLSL, built from the same constants; a test runs both. */

import {
  EXTREME_FROM,
  EXTREME_FULL,
  EXTREME_WHITE,
  GAMMA,
  NAN_COLOUR,
  NEGATIVE_INFINITY_COLOUR,
  POSITIVE_INFINITY_COLOUR,
} from '../layout/colour';
import { number, vector } from './shaders';

export const COLOUR_GLSL = /* glsl */ `
uniform vec3 uZero;
uniform vec3 uNegative;

vec3 valueColour(float value, float scale, vec3 hue) {
  float share = scale > 0.0 ? min(abs(value) / scale, 1.0) : 0.0;
  return mix(uZero, value < 0.0 ? uNegative : hue, pow(share, ${number(GAMMA)}));
}

// WebGL promises no NaN, so NaN and inf are told by their bits and never become floats:
// a number is its value and its kind, 0 if it is finite, 1 for NaN, 2 for inf, 3 for -inf.
vec2 halfNumber(uint bits) {
  if ((bits & 0x7c00u) == 0x7c00u) {
    if ((bits & 0x03ffu) != 0u) return vec2(0.0, 1.0);
    return vec2(0.0, (bits & 0x8000u) == 0u ? 2.0 : 3.0);
  }
  return vec2(unpackHalf2x16(bits).x, 0.0);
}

vec2 singleNumber(uint bits) {
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    if ((bits & 0x007fffffu) != 0u) return vec2(0.0, 1.0);
    return vec2(0.0, (bits & 0x80000000u) == 0u ? 2.0 : 3.0);
  }
  return vec2(uintBitsToFloat(bits), 0.0);
}

vec2 blend(vec2 a, vec2 b, vec2 weights) {
  if (weights.y == 0.0) return a;
  if (a.y > 0.0) {
    if (b.y == 0.0) return a;
    return a.y == b.y && weights.y > 0.0 ? a : vec2(0.0, 1.0);
  }
  if (b.y > 1.0 && weights.y < 0.0) return vec2(0.0, 5.0 - b.y);
  if (b.y > 0.0) return b;
  return vec2(a.x * weights.x + b.x * weights.y, 0.0);
}

vec3 numberColour(vec2 number, float scale, vec3 hue) {
  if (number.y == 1.0) return ${vector(NAN_COLOUR)};
  if (number.y == 2.0) return ${vector(POSITIVE_INFINITY_COLOUR)};
  if (number.y == 3.0) return ${vector(NEGATIVE_INFINITY_COLOUR)};
  return valueColour(number.x, scale, hue);
}

vec3 extremeColour(vec3 colour, vec2 absmax, float typical, vec3 hue) {
  if (absmax.y > 0.0) return numberColour(absmax, 0.0, hue);
  if (typical <= 0.0) return colour;
  float share = smoothstep(${number(EXTREME_FROM)}, ${number(EXTREME_FULL)}, absmax.x / typical);
  return mix(colour, mix(hue, ${vector([1, 1, 1])}, ${number(EXTREME_WHITE)}), share);
}
`;
