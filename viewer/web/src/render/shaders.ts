/** GLSL of what surrounds the plates: ribbons, labels, points. The plates' own is in plateshaders.ts. */

import type { Rgb } from '../layout/colour';

export const number = (value: number) => (Number.isInteger(value) ? `${value}.0` : String(value));
export const vector = (colour: Rgb) => `vec3(${colour.map(number).join(', ')})`;

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

/**
 * Ten thousand points cover far more pixels than they are: so a point finds its colour once, and its pixels
 * only take it.
 */
export function pointVertex(stops: readonly Rgb[]): string {
  const steps = stops
    .slice(1)
    .map((stop, index) => `colour = mix(colour, ${vector(stop)}, clamp(t - ${number(index)}, 0.0, 1.0));`)
    .join('\n  ');
  return /* glsl */ `
uniform float uMix;
uniform float uExtent;
uniform vec3 uCentre;
uniform float uHalfSize;
uniform float uSize_px;
uniform float uReach;
uniform float uInk;
uniform vec2 uRange;
uniform vec3 uPalette[8];
uniform int uColours;
uniform vec3 uNeutral;
in vec3 aFrom;
in float aShade;
flat out vec3 vColour;

vec3 onScale() {
  float share = (aShade - uRange.x) / max(uRange.y - uRange.x, 1e-20);
  float t = clamp(share, 0.0, 1.0) * ${number(stops.length - 1)};
  vec3 colour = ${vector(stops[0]!)};
  ${steps}
  return colour * (1.0 - uInk);
}

void main() {
  vec3 place = mix(aFrom, position, uMix) / uExtent;
  vec4 view = viewMatrix * vec4(uCentre + place * uHalfSize, 1.0);
  gl_Position = projectionMatrix * view;
  gl_PointSize = clamp(uSize_px * uReach / max(-view.z, 1.0), 1.5, uSize_px * 4.0);
  vColour = uNeutral;
  if (aShade >= 0.0) vColour = uColours > 0 ? uPalette[int(aShade + 0.5) % uColours] : onScale();
}
`;
}

export const POINT_FRAGMENT = /* glsl */ `
precision highp float;
flat in vec3 vColour;
out vec4 outColour;

void main() {
  vec2 from = gl_PointCoord - 0.5;
  float reach = dot(from, from);
  if (reach > 0.25) discard;
  outColour = vec4(vColour * (1.0 - 0.45 * smoothstep(0.12, 0.25, reach)), 1.0);
}
`;
