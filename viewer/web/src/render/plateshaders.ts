/** GLSL of the plates: heatmaps of samples or cells, and bars of vectors. */

import { COLOUR_GLSL } from './colourshader';
import { number } from './shaders';

/** Texels in a row of the sample textures, and rows in a layer: both are guaranteed by WebGL2. */
export const TEXTURE_SIDE = 2048;

/** Bits of the fourth component of a plate's source. */
export const PlateFlag = { single: 1, transposed: 2, ghost: 4, empty: 8, splitRows: 16, splitColumns: 32 } as const;
/** Above the flags: the number of parts, then a kernel's height and width. */
export const SPLIT_SHIFT = 8;
export const SPLIT_MOST = 0xffff;
export const TILE_SHIFT = 24;

/** Share of a head's or a kernel's extent that is left free between it and the next. */
const GUTTER = 0.09;

/** Bits of the fourth component of a plate's look, which changes with the picture. */
export const LookFlag = { missing: 1, moved: 2 } as const;

export const SourceCode = { auto: 0, samples: 1, cells_mean: 2, cells_absmax: 3 } as const;

/** A cell that is drawn larger than this (device pixels) shows its sample alone; smaller ones their extremes too. */
export const FAR_px = [5, 9] as const;
/** Cells larger than this have lines between them. */
export const LINES_FROM_px = 1.6;

export const TEXEL_GLSL = /* glsl */ `
ivec3 texelOf(uint index) {
  return ivec3(int(index & 2047u), int((index >> 11u) & 2047u), int(index >> 22u));
}
`;

export const PLATE_VERTEX = /* glsl */ `
in vec2 iCentre;
in vec3 iSize;
in uvec4 iSource;
// The first row and column that this plate shows of its tensor's samples, and how many of each.
in uvec4 iSlice;
// Where its tensor's cells and orders begin; one more than that for the cells, 0 if it has none.
in uvec2 iPlaces;
in uint iPlate;
in vec3 iHue;
in vec4 iLook;
out vec2 vUv;
flat out vec2 vNormalXy;
flat out uvec4 vSource;
flat out uvec4 vSlice;
flat out uvec2 vPlaces;
flat out vec3 vHue;
flat out vec4 vLook;
flat out int vPlate;

void main() {
  vUv = vec2(position.x + 0.5, 0.5 - position.y);
  vNormalXy = normal.z > 0.5 ? vec2(0.0) : normal.xy + vec2(0.0, normal.z);
  vSource = iSource;
  vSlice = iSlice;
  vPlaces = iPlaces;
  vHue = iHue;
  vLook = iLook;
  vPlate = int(iPlate);
  vec3 world = vec3(iCentre + position.xy * iSize.xy, (position.z - 0.5) * iSize.z);
  gl_Position = projectionMatrix * viewMatrix * vec4(world, 1.0);
}
`;

/**
 * A software renderer runs every branch of a shader, taken or not. So what a picture does not need is left
 * out of its program: FINE (several samples for a far pixel), LINES (between cells, seen from near), BLANK (a
 * plate without data), PARTS (heads, kernels), TILES, CELLS, SORTED, SECOND, SCALED, HOVER, and ODD: a vector, or
 * nothing.
 */
export const PLATE_FRAGMENT = /* glsl */ `
precision highp float;
precision highp int;
precision highp usampler2DArray;

const float STRONGEST_SHARE = 0.6;

uniform usampler2DArray uHalf;
uniform usampler2DArray uSingle;
// What is mixed with them, in the same order.
uniform usampler2DArray uHalf2;
uniform usampler2DArray uSingle2;
// Of the cells: mean, largest magnitude, and the largest of the 2 × 2 and of the 4 × 4 cells around.
uniform usampler2DArray uCells;
// Which sampled row or column is drawn at a place.
uniform usampler2DArray uOrder;
uniform vec2 uWeights;
// Where the vectors begin in a texture of scaled halves; -1 where the samples are coloured.
uniform int uScaledBase;
uniform int uSource;
uniform bvec2 uSort;
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
flat in uvec2 vPlaces;
flat in vec3 vHue;
flat in vec4 vLook;
flat in int vPlate;
out vec4 outColour;

// How far away the plate is: 1 where its extremes are shown, 0 where its samples are alone.
float far;
// Cells from one that is read to the next: what lies between must not be overlooked.
float stride = 1.0;

${COLOUR_GLSL}
${TEXEL_GLSL}

float hatch() {
  return step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / 9.0));
}

// Kernel height and width; (0, 0) where rows and columns are shown as they are.
uvec2 tile() {
#ifndef TILES
  return uvec2(0u);
#endif
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

// The sample that is drawn there.
uint sampleAt(vec2 cell) {
  uvec2 at = addressAt(cell);
#ifdef SORTED
  if (uSort.x) at.x = texelFetch(uOrder, texelOf(vPlaces.y + at.x), 0).r;
  if (uSort.y) at.y = texelFetch(uOrder, texelOf(vPlaces.y + vSource.y + at.y), 0).r;
#endif
  return at.x * vSource.z + at.y;
}

// A sample's number; of kind 4 where a change is smaller than float16 tells.
vec2 numberOf(uint place) {
  uint index = vSource.x + place;
#ifdef ODD
  bool single = (vSource.w & ${PlateFlag.single}u) != 0u;
#else
  const bool single = false;
#endif
#ifdef SCALED
  return halfNumber(texelFetch(uHalf, texelOf(index + (single ? uint(uScaledBase) : 0u)), 0).r);
#else
  ivec3 texel = texelOf(index);
#ifdef ODD
  if (single) {
    vec2 number = singleNumber(texelFetch(uSingle, texel, 0).r);
#ifdef SECOND
    number = blend(number, singleNumber(texelFetch(uSingle2, texel, 0).r), uWeights);
#endif
    return number;
  }
#endif
  uint bits = texelFetch(uHalf, texel, 0).r;
#ifdef SECOND
  uint other = texelFetch(uHalf2, texel, 0).r;
  vec2 number = blend(halfNumber(bits), halfNumber(other), uWeights);
  bool unresolved = uWeights.y < 0.0 && bits == other && (uint(vLook.w) & ${LookFlag.moved}u) != 0u;
  return unresolved && number.y == 0.0 ? vec2(0.0, 4.0) : number;
#else
  return halfNumber(bits);
#endif
#endif
}

// The colour of a sample, or of its cell, at its place among its tensor's samples.
vec3 placeColour(uint place, vec2 number) {
#ifdef CELLS
  bool hasCells = vPlaces.x > 0u;
  uvec4 cell = hasCells ? texelFetch(uCells, texelOf(vPlaces.x - 1u + place), 0) : uvec4(0u);
  vec2 absmax = halfNumber(cell.g);
#ifndef SORTED
  vec2 around = halfNumber(stride > 2.0 ? cell.a : stride > 1.0 ? cell.b : cell.g);
  // Largest magnitudes keep their own colour, but for what leaves the scale.
  if (uSource == ${SourceCode.auto} || around.y > 0.0 || around.x >= vLook.z) absmax = around;
#endif
  if (hasCells && uSource == ${SourceCode.cells_mean}) return numberColour(halfNumber(cell.r), vLook.y, vHue);
  if (hasCells && uSource == ${SourceCode.cells_absmax}) return numberColour(absmax, vLook.z, vHue);
#endif
  if (number.y == 4.0) return mix(uZero, uBackground, 0.4 * hatch());
  if (uSource == ${SourceCode.cells_absmax}) number = vec2(abs(number.x), number.y == 3.0 ? 2.0 : number.y);
  vec3 colour = numberColour(number, vLook.x, vHue);
#ifdef CELLS
  if (hasCells && uSource == ${SourceCode.auto}) return mix(colour, extremeColour(colour, absmax, vLook.z, vHue), far);
#endif
  return colour;
}

// What lies under one pixel, summed up: the mean, leaning to the strongest of it, so that far
// plates don't sparkle, don't fade to grey, and don't hide an outlier or a NaN.
vec3 footprintColour(vec2 cell, vec2 footprint) {
  float wide = max(footprint.x, footprint.y);
  int taps = int(clamp(ceil(wide), 1.0, float(uTaps)));
  stride = wide / float(taps);
  vec3 sum = vec3(0.0);
  vec3 strongest = vec3(0.0);
  float strength = -1.0;
  for (int i = 0; i < taps; i += 1) {
    for (int j = 0; j < taps; j += 1) {
      vec2 offset = (vec2(float(i), float(j)) + 0.5) / float(taps) - 0.5;
      uint place = sampleAt(cell + offset * footprint);
      vec3 colour = placeColour(place, numberOf(place));
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

// A vector's elements as bars from a zero line; a number that is not finite fills its place.
vec3 barColour(vec2 number, vec2 cell, vec2 footprint, bool upright) {
  vec3 ground = mix(uBackground, vHue, 0.12);
  if (number.y == 4.0) number = vec2(0.0);
  if (number.y > 0.0) return numberColour(number, vLook.x, vHue);
  float share = vLook.x > 0.0 ? clamp(number.x / vLook.x, -1.0, 1.0) : 0.0;
  float up = upright ? cell.x - 0.5 : 0.5 - cell.x;
  bool inside = share * up > 0.0 && abs(up) < abs(share) * 0.5;
  float zero = 1.0 - smoothstep(0.5, 1.2, abs(up) / footprint.x);
  vec3 bar = share < 0.0 ? mix(uZero, uNegative, 0.85) : vHue;
  return mix(inside ? bar : ground, uZero, zero * 0.8);
}

vec3 plateColour(vec2 cell, vec2 footprint) {
  bool upright = (vSource.w & ${PlateFlag.transposed}u) != 0u;
  float size_px = 1.0 / max(footprint.x, footprint.y);
#ifdef CELLS
  far = 1.0 - smoothstep(${FAR_px[0]}.0, ${FAR_px[1]}.0, size_px);
#endif
  uint place = sampleAt(cell);
  vec2 number = numberOf(place);
#ifdef ODD
  if (vSource.y == 1u && footprint.x < 1.0 / 16.0 && footprint.y < 1.0 / 2.5) {
    float gap = smoothstep(2.5, 6.0, 1.0 / footprint.y) * lineAt(vec2(0.5, cell.y), vec2(1.0, footprint.y));
    return mix(barColour(number, cell, footprint, upright), uBackground, 0.5 * gap);
  }
#endif
#ifdef FINE
  vec3 colour = footprintColour(cell, footprint);
#else
  vec3 colour = placeColour(place, number);
#endif
#ifdef LINES
  if (size_px > ${number(LINES_FROM_px)}) {
    colour *= 1.0 - 0.30 * lineAt(cell, footprint) * smoothstep(5.0, 14.0, size_px);
    if (tile().x == 0u) colour *= 1.0 - 0.35 * lineAt(cell / 16.0, footprint / 16.0) * smoothstep(${number(LINES_FROM_px)}, 5.0, size_px);
  }
#endif
  return colour;
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
  bool missing = (uint(vLook.w) & ${LookFlag.missing}u) != 0u;
  vec3 colour;
#if defined(ODD) || defined(BLANK)
  if ((flags & ${PlateFlag.ghost | PlateFlag.empty}u) != 0u || missing || !uHasData) {
    float strength = (flags & ${PlateFlag.ghost}u) != 0u ? 0.24 : 0.12;
    colour = mix(uBackground, vHue, 0.06 + strength * hatch());
  } else
#endif
  {
    colour = plateColour(cell, footprint);
#ifdef PARTS
    vec2 apart = vec2(0.0);
    if (kernel.x > 0u) apart = gutters(cell / vec2(kernel), footprint / vec2(kernel));
    float parts = float((flags >> ${SPLIT_SHIFT}u) & ${SPLIT_MOST}u);
    if (parts > 1.0) {
      vec2 shares = vec2((flags & ${PlateFlag.splitRows}u) != 0u ? parts : 0.0, 0.0);
      if (shares.x == 0.0) shares = vec2(0.0, parts);
      apart = max(apart, gutters(place * shares, footprint / grid * shares) * sign(shares));
    }
    colour = mix(colour, mix(uBackground, vHue, 0.1), max(apart.x, apart.y));
#endif
#ifdef HOVER
    if (vPlate == uHover.x) {
      ivec2 at = ivec2(addressAt(cell));
      bool row = at.x == uHover.y;
      bool column = at.y == uHover.z;
      if (row && column) {
        colour = mix(colour, vec3(1.0), lineAt(cell, footprint) * 0.9);
      } else if (row || column) {
        // A row that is marked for itself is seen from afar, too.
        colour = mix(colour, vec3(1.0), uHover.z < 0 ? 0.65 : 0.16);
      }
    }
#endif
  }
  vec3 rim = mix(uBackground, vHue, 0.85);
  if (vPlate == uHover.x || vPlate == uSelected) {
    border = 1.0 - smoothstep(1.6, 2.6, min(edge_px.x, edge_px.y));
    rim = mix(vHue, vec3(1.0), 0.6);
  }
  outColour = vec4(mix(colour, rim, border), 1.0);
}
`;
