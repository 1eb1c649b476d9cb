/** GLSL of the scene. The colour maths is the twin of layout/colour.ts, built from the same constants. */

import {
  GAMMA,
  NAN_COLOUR,
  NEGATIVE_INFINITY_COLOUR,
  POSITIVE_INFINITY_COLOUR,
  type Rgb,
} from '../layout/colour';

/** Texels in a row of the sample textures, and rows in a layer: both are guaranteed by WebGL2. */
export const TEXTURE_SIDE = 2048;

/** Bits of the fourth component of a plate's source. */
export const PlateFlag = { single: 1, transposed: 2, ghost: 4, empty: 8, splitRows: 16, splitColumns: 32 } as const;
/** Above the flags: the number of parts, then a kernel's height and width. */
export const SPLIT_SHIFT = 8;
export const SPLIT_MOST = 0xffff;
export const TILE_SHIFT = 24;

const number = (value: number) => (Number.isInteger(value) ? `${value}.0` : String(value));
const vector = (colour: Rgb) => `vec3(${colour.map(number).join(', ')})`;

/** Share of a head's or a kernel's extent that is left free between it and the next. */
const GUTTER = 0.09;

export const COLOUR_GLSL = /* glsl */ `
uniform vec3 uZero;
uniform vec3 uNegative;

vec3 valueColour(float value, float scale, vec3 hue) {
  float share = scale > 0.0 ? min(abs(value) / scale, 1.0) : 0.0;
  return mix(uZero, value < 0.0 ? uNegative : hue, pow(share, ${number(GAMMA)}));
}

// WebGL promises no NaN, so NaN and inf are told by their bits and never become floats.
vec3 halfColour(uint bits, float scale, vec3 hue) {
  if ((bits & 0x7c00u) == 0x7c00u) {
    if ((bits & 0x03ffu) != 0u) return ${vector(NAN_COLOUR)};
    return (bits & 0x8000u) == 0u ? ${vector(POSITIVE_INFINITY_COLOUR)} : ${vector(NEGATIVE_INFINITY_COLOUR)};
  }
  return valueColour(unpackHalf2x16(bits).x, scale, hue);
}

vec3 singleColour(uint bits, float scale, vec3 hue) {
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    if ((bits & 0x007fffffu) != 0u) return ${vector(NAN_COLOUR)};
    return (bits & 0x80000000u) == 0u ? ${vector(POSITIVE_INFINITY_COLOUR)} : ${vector(NEGATIVE_INFINITY_COLOUR)};
  }
  return valueColour(uintBitsToFloat(bits), scale, hue);
}
`;

export const PLATE_VERTEX = /* glsl */ `
in vec2 iCentre;
in vec3 iSize;
in uvec4 iSource;
// The first row and column that this plate shows of its tensor's samples, and how many of each.
in uvec4 iSlice;
in uint iPlate;
in vec3 iHue;
in float iScale;
out vec2 vUv;
flat out vec2 vNormalXy;
flat out uvec4 vSource;
flat out uvec4 vSlice;
flat out vec3 vHue;
flat out float vScale;
flat out int vPlate;

void main() {
  vUv = vec2(position.x + 0.5, 0.5 - position.y);
  vNormalXy = normal.z > 0.5 ? vec2(0.0) : normal.xy + vec2(0.0, normal.z);
  vSource = iSource;
  vSlice = iSlice;
  vHue = iHue;
  vScale = iScale;
  vPlate = int(iPlate);
  vec3 world = vec3(iCentre + position.xy * iSize.xy, (position.z - 0.5) * iSize.z);
  gl_Position = projectionMatrix * viewMatrix * vec4(world, 1.0);
}
`;

export const PLATE_FRAGMENT = /* glsl */ `
precision highp float;
precision highp int;
precision highp usampler2DArray;

const float STRONGEST_SHARE = 0.6;

uniform usampler2DArray uHalf;
uniform usampler2DArray uSingle;
uniform float uSharedScale;
uniform bool uHasData;
uniform vec3 uBackground;
uniform ivec3 uHover;
uniform int uSelected;
// Samples per axis that one far pixel sums up.
uniform int uTaps;
in vec2 vUv;
flat in vec2 vNormalXy;
flat in uvec4 vSource;
flat in uvec4 vSlice;
flat in vec3 vHue;
flat in float vScale;
flat in int vPlate;
out vec4 outColour;

${COLOUR_GLSL}

ivec3 texelOf(uint index) {
  return ivec3(int(index & 2047u), int((index >> 11u) & 2047u), int(index >> 22u));
}

// Kernel height and width; (0, 0) where rows and columns are shown as they are.
uvec2 tile() {
  return uvec2((vSource.w >> ${TILE_SHIFT}u) & 15u, vSource.w >> ${TILE_SHIFT + 4}u);
}

// The row and column of the samples that lie at a place of the picture, kept inside this slice.
uvec2 addressAt(vec2 cell) {
  uvec2 at = uvec2(max(cell, 0.0));
  uvec2 kernel = tile();
  if (kernel.x > 0u) {
    uvec2 inside = at % kernel;
    at = uvec2(at.x / kernel.x, (at.y / kernel.y) * kernel.x * kernel.y + inside.x * kernel.y + inside.y);
  }
  return clamp(at, vSlice.xy, vSlice.xy + vSlice.zw - 1u);
}

vec3 cellColour(vec2 cell, float scale) {
  uvec2 at = addressAt(cell);
  uint row = at.x;
  uint column = at.y;
  ivec3 texel = texelOf(vSource.x + row * vSource.z + column);
  if ((vSource.w & 1u) != 0u) return singleColour(texelFetch(uSingle, texel, 0).r, scale, vHue);
  return halfColour(texelFetch(uHalf, texel, 0).r, scale, vHue);
}

// What lies under one pixel, summed up: the mean, leaning to the strongest of it, so that far
// plates don't sparkle, don't fade to grey, and don't hide an outlier or a NaN.
vec3 footprintColour(vec2 cell, vec2 footprint, float scale) {
  int taps = int(clamp(ceil(max(footprint.x, footprint.y)), 1.0, float(uTaps)));
  if (taps == 1) return cellColour(cell, scale);
  vec3 sum = vec3(0.0);
  vec3 strongest = vec3(0.0);
  float strength = -1.0;
  for (int i = 0; i < taps; i += 1) {
    for (int j = 0; j < taps; j += 1) {
      vec2 offset = (vec2(float(i), float(j)) + 0.5) / float(taps) - 0.5;
      vec3 colour = cellColour(cell + offset * footprint, scale);
      vec3 away = colour - uZero;
      float distance2 = dot(away, away);
      if (distance2 > strength) {
        strength = distance2;
        strongest = colour;
      }
      sum += colour;
    }
  }
  return mix(sum / float(taps * taps), strongest, STRONGEST_SHARE);
}

float lineAt(vec2 cell, vec2 footprint) {
  vec2 distance_px = abs(fract(cell - 0.5) - 0.5) / footprint;
  return 1.0 - smoothstep(0.4, 1.0, min(distance_px.x, distance_px.y));
}

// How much of a pixel is the gap around each whole number: an even tint from afar, a clear cut when near.
vec2 gutters(vec2 along, vec2 width) {
  vec2 from_px = abs(fract(along + 0.5) - 0.5) / max(width, vec2(1e-6));
  vec2 half_px = ${number(GUTTER / 2)} / max(width, vec2(1e-6));
  vec2 near = clamp(half_px + 0.5 - from_px, 0.0, 1.0);
  return mix(near, vec2(${number(GUTTER)}), smoothstep(vec2(0.12), vec2(0.3), width));
}

float hatch() {
  return step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / 9.0));
}

void main() {
  uint flags = vSource.w;
  if (vNormalXy != vec2(0.0)) {
    float light = 0.34 + 0.16 * vNormalXy.y + 0.06 * vNormalXy.x;
    outColour = vec4(mix(uBackground, vHue, light), 1.0);
    return;
  }
  vec2 grid = vec2(vSlice.zw);
  uvec2 kernel = tile();
  if (kernel.x > 0u) grid *= vec2(float(kernel.x), 1.0 / float(kernel.x));
  vec2 place = (flags & ${PlateFlag.transposed}u) != 0u ? vUv.xy : vUv.yx;
  vec2 cell = vec2(vSlice.xy) + place * grid;
  vec2 footprint = max(fwidth(cell), vec2(1e-6));
  vec2 edge_px = min(vUv, 1.0 - vUv) / max(fwidth(vUv), vec2(1e-6));
  float border = 1.0 - smoothstep(0.6, 1.5, min(edge_px.x, edge_px.y));
  vec3 colour;
  if ((flags & ${PlateFlag.ghost | PlateFlag.empty}u) != 0u || !uHasData) {
    float strength = (flags & ${PlateFlag.ghost}u) != 0u ? 0.24 : 0.12;
    colour = mix(uBackground, vHue, 0.06 + strength * hatch());
  } else {
    float scale = uSharedScale > 0.0 ? uSharedScale : vScale;
    colour = footprintColour(cell, footprint, scale);
    float size_px = 1.0 / max(footprint.x, footprint.y);
    if (size_px > 1.6) {
      colour *= 1.0 - 0.30 * lineAt(cell, footprint) * smoothstep(5.0, 14.0, size_px);
      if (kernel.x == 0u) {
        colour *= 1.0 - 0.35 * lineAt(cell / 16.0, footprint / 16.0) * smoothstep(1.6, 5.0, size_px);
      }
    }
    vec2 apart = vec2(0.0);
    if (kernel.x > 0u) apart = gutters(cell / vec2(kernel), footprint / vec2(kernel));
    float parts = float((flags >> ${SPLIT_SHIFT}u) & ${SPLIT_MOST}u);
    if (parts > 1.0) {
      vec2 shares = vec2((flags & ${PlateFlag.splitRows}u) != 0u ? parts : 0.0, 0.0);
      if (shares.x == 0.0) shares = vec2(0.0, parts);
      apart = max(apart, gutters(place * shares, footprint / grid * shares) * sign(shares));
    }
    colour = mix(colour, mix(uBackground, vHue, 0.1), max(apart.x, apart.y));
    if (vPlate == uHover.x) {
      ivec2 at = ivec2(addressAt(cell));
      bool row = at.x == uHover.y;
      bool column = at.y == uHover.z;
      if (row && column) {
        colour = mix(colour, vec3(1.0), lineAt(cell, footprint) * 0.9);
      } else if (row || column) {
        colour = mix(colour, vec3(1.0), 0.16);
      }
    }
  }
  vec3 rim = mix(uBackground, vHue, 0.85);
  if (vPlate == uHover.x || vPlate == uSelected) {
    border = 1.0 - smoothstep(1.6, 2.6, min(edge_px.x, edge_px.y));
    rim = mix(vHue, vec3(1.0), 0.6);
  }
  outColour = vec4(mix(colour, rim, border), 1.0);
}
`;

/** Ribbons keep a least width on screen, and their edges are feathered: no multisampling needed. */
export const LINE_VERTEX = /* glsl */ `
uniform float uUnitsPerPixel;
// Toward the ribbon's edge (longer at a mitred corner), half of its width, and which edge: 1 or -1.
in vec4 aAcross;
in vec4 aColour;
out vec4 vColour;
out float vAcross;
flat out float vHalf_px;

void main() {
  vec4 centre = projectionMatrix * viewMatrix * vec4(position, 1.0);
  float pixel = uUnitsPerPixel * centre.w;
  float half_px = max(aAcross.z / pixel, 0.75) + 0.5;
  vHalf_px = half_px;
  vAcross = aAcross.w * half_px;
  vec3 world = position + vec3(aAcross.xy, 0.0) * half_px * pixel;
  vColour = aColour;
  gl_Position = projectionMatrix * viewMatrix * vec4(world, 1.0);
}
`;

export const LINE_FRAGMENT = /* glsl */ `
precision highp float;
uniform float uInk;
in vec4 vColour;
in float vAcross;
flat in float vHalf_px;
out vec4 outColour;

void main() {
  float cover = clamp(vHalf_px - abs(vAcross), 0.0, 1.0);
  outColour = vec4(mix(vColour.rgb, vec3(0.0), uInk), vColour.a * cover);
}
`;

export const LABEL_VERTEX = /* glsl */ `
uniform vec2 uViewport_px;
in vec3 iAnchor;
in vec4 iRect_px;
in vec4 iAtlas;
out vec2 vAtlas;

void main() {
  vec4 clip = projectionMatrix * viewMatrix * vec4(iAnchor, 1.0);
  // Whole pixels keep the letters sharp.
  vec2 anchor_px = (clip.xy / clip.w * 0.5 + 0.5) * uViewport_px;
  vec2 corner_px = floor(anchor_px + iRect_px.xy + 0.5) + (position.xy + 0.5) * iRect_px.zw;
  gl_Position = vec4(corner_px / uViewport_px * 2.0 - 1.0, 0.0, 1.0);
  vAtlas = iAtlas.xy + vec2(position.x + 0.5, 0.5 - position.y) * iAtlas.zw;
}
`;

export const LABEL_FRAGMENT = /* glsl */ `
precision highp float;
uniform sampler2D uAtlas;
in vec2 vAtlas;
out vec4 outColour;

void main() {
  outColour = texture(uAtlas, vAtlas);
}
`;

export const POINT_VERTEX = /* glsl */ `
uniform float uMix;
uniform float uExtent;
uniform vec3 uCentre;
uniform float uHalfSize;
uniform vec2 uRange;
uniform float uSize_px;
uniform float uReach;
in vec3 aFrom;
in float aMagnitude;
out float vShare;

void main() {
  vec3 place = mix(aFrom, position, uMix) / uExtent;
  vec4 view = viewMatrix * vec4(uCentre + place * uHalfSize, 1.0);
  gl_Position = projectionMatrix * view;
  gl_PointSize = clamp(uSize_px * uReach / max(-view.z, 1.0), 1.5, uSize_px * 4.0);
  vShare = (aMagnitude - uRange.x) / max(uRange.y - uRange.x, 1e-20);
}
`;

export function pointFragment(stops: readonly Rgb[]): string {
  const steps = stops
    .slice(1)
    .map((stop, index) => `colour = mix(colour, ${vector(stop)}, clamp(t - ${number(index)}, 0.0, 1.0));`)
    .join('\n  ');
  return /* glsl */ `
precision highp float;
uniform float uInk;
in float vShare;
out vec4 outColour;

void main() {
  vec2 from = gl_PointCoord - 0.5;
  float reach = dot(from, from);
  if (reach > 0.25) discard;
  float t = clamp(vShare, 0.0, 1.0) * ${number(stops.length - 1)};
  vec3 colour = ${vector(stops[0]!)};
  ${steps}
  float rim = smoothstep(0.12, 0.25, reach);
  outColour = vec4(colour * (1.0 - uInk) * (1.0 - 0.45 * rim), 1.0);
}
`;
}
