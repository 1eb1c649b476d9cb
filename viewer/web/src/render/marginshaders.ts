/** GLSL of the norms at the margins of the plates. */

import { NO_SHARE } from '../layout/order';
import { TEXEL_GLSL } from './plateshaders';

/** Bits of a margin: it stands at the left of its plate instead of over it; it is of columns. */
export const MarginFlag = { beside: 1, columns: 2 } as const;

/** Norms beside a plate as bars that grow away from it; a plate that is small on screen has none. */
export const MARGIN_VERTEX = /* glsl */ `
uniform float uUnitsPerPixel;
uniform float uLeast_px;
in vec2 iCentre;
in vec2 iSize;
// Where the tensor's shares begin, the first one and how many are shown, and the bits of MarginFlag.
in uvec4 iSource;
// The longer side of the plate, in world units.
in float iPlate;
in vec3 iHue;
out vec2 vUv;
flat out uvec4 vSource;
flat out vec3 vHue;
flat out float vShown;

void main() {
  vec4 centre = projectionMatrix * viewMatrix * vec4(iCentre, 0.0, 1.0);
  float size_px = iPlate / (uUnitsPerPixel * max(centre.w, 1e-6));
  vShown = smoothstep(uLeast_px, uLeast_px * 1.4, size_px);
  vUv = position.xy + 0.5;
  vSource = iSource;
  vHue = iHue;
  vec3 world = vec3(iCentre + position.xy * iSize * (vShown > 0.0 ? 1.0 : 0.0), 0.0);
  gl_Position = projectionMatrix * viewMatrix * vec4(world, 1.0);
}
`;

export const MARGIN_FRAGMENT = /* glsl */ `
precision highp float;
precision highp int;
precision highp usampler2DArray;

const uint NO_SHARE = ${NO_SHARE}u;

uniform usampler2DArray uOrder;
uniform bvec2 uSort;
uniform vec3 uBackground;
in vec2 vUv;
flat in uvec4 vSource;
flat in vec3 vHue;
flat in float vShown;
out vec4 outColour;

${TEXEL_GLSL}

void main() {
  bool isRows = (vSource.w & ${MarginFlag.columns}u) == 0u;
  bool beside = (vSource.w & ${MarginFlag.beside}u) != 0u;
  float along = beside ? 1.0 - vUv.y : vUv.x;
  float away = beside ? 1.0 - vUv.x : vUv.y;
  float place = along * float(vSource.z);
  uint at = vSource.y + min(uint(place), vSource.z - 1u);
  bool sorted = isRows ? uSort.x : uSort.y;
  if (sorted) at = texelFetch(uOrder, texelOf(vSource.x + at), 0).r;
  uint bits = texelFetch(uOrder, texelOf(vSource.x + at), 0).g;
  if (bits == NO_SHARE) discard;
  float share = float(bits) / ${NO_SHARE - 1}.0;
  if (away > share) discard;
  float width = fwidth(along) * float(vSource.z);
  float gap = (1.0 - smoothstep(0.6, 1.2, min(fract(place), 1.0 - fract(place)) / width)) * smoothstep(0.4, 0.2, width);
  outColour = vec4(mix(uBackground, vHue, (0.28 + 0.34 * share) * (1.0 - 0.7 * gap)), vShown);
}
`;
