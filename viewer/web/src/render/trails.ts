/** Ways of chosen tokens through training, and lines to nearest neighbours: ribbons of one draw call. */

import {
  BufferAttribute,
  DynamicDrawUsage,
  GLSL3,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  Mesh,
  ShaderMaterial,
  Vector2,
  Vector3,
} from 'three';
import type { CloudFrame } from '../layout/boxes';
import type { Rgb } from '../layout/colour';
import type { Way } from '../layout/moves';
import type { SceneTheme } from './theme';

export interface ColouredWay extends Way {
  colour: Rgb;
}

/** Pieces of all ways together; a way that is longer than its share is drawn in fewer, longer pieces. */
const MOST_PIECES = 6000;
const MOST_LINKS = 16;
const WAY_px = 2.6;
const LINK_px = 1;
/** A piece that is there at every iteration. */
const ALWAYS = -1;
/** Numbers of a piece: from, to, when from, when to, width, colour. */
const STRIDE = 12;

const VERTEX = /* glsl */ `
uniform vec3 uCentre;
uniform float uScale;
uniform vec2 uViewport_px;
uniform float uStart;
uniform float uCursor;
uniform vec3 uGround;
in vec4 iFrom;
in vec4 iTo;
in vec4 iLook;
out vec3 vColour;
out float vAcross_px;
flat out float vHalf_px;

void main() {
  bool always = iTo.w < 0.0;
  float span = iTo.w - iFrom.w;
  float seen = always || span <= 0.0 ? 1.0 : clamp((uCursor - iFrom.w) / span, 0.0, 1.0);
  vec4 a = projectionMatrix * viewMatrix * vec4(uCentre + iFrom.xyz * uScale, 1.0);
  vec4 b = projectionMatrix * viewMatrix * vec4(uCentre + mix(iFrom.xyz, iTo.xyz, seen) * uScale, 1.0);
  vHalf_px = iLook.w * 0.5 + 0.5;
  if (seen <= 0.0 || a.w <= 0.0 || b.w <= 0.0) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    return;
  }
  vec2 along_px = (b.xy / b.w - a.xy / a.w) * uViewport_px;
  float length_px = length(along_px);
  vec2 along = length_px > 1e-4 ? along_px / length_px : vec2(1.0, 0.0);
  vec2 across = vec2(-along.y, along.x);
  vec4 at = mix(a, b, position.x);
  at.xy += (across * position.y * vHalf_px) * 2.0 / uViewport_px * at.w;
  gl_Position = at;
  vAcross_px = position.y * vHalf_px;
  float when = mix(iFrom.w, iTo.w, position.x * seen);
  float age = (when - uStart) / max(uCursor - uStart, 1.0);
  // Toward the ground instead of seen through: pieces that lie over one another would show as beads.
  float strength = always ? 0.75 : mix(0.34, 1.0, clamp(age, 0.0, 1.0));
  vColour = mix(uGround, iLook.rgb, strength);
}
`;

const FRAGMENT = /* glsl */ `
precision highp float;
in vec3 vColour;
in float vAcross_px;
flat in float vHalf_px;
out vec4 outColour;

void main() {
  outColour = vec4(vColour, clamp(vHalf_px - abs(vAcross_px), 0.0, 1.0));
}
`;

export class Trails {
  readonly mesh: Mesh<InstancedBufferGeometry, ShaderMaterial>;
  private readonly pieces: { from: Float32Array; to: Float32Array; look: Float32Array };
  private readonly attributes: InstancedBufferAttribute[];
  private links = 0;
  private waysEnd = MOST_LINKS;

  constructor(place: CloudFrame) {
    const count = MOST_LINKS + MOST_PIECES;
    this.pieces = {
      from: new Float32Array(count * 4),
      to: new Float32Array(count * 4),
      look: new Float32Array(count * 4),
    };
    const geometry = new InstancedBufferGeometry();
    const corners = new Float32Array([0, -1, 0, 1, -1, 0, 1, 1, 0, 0, 1, 0]);
    geometry.setAttribute('position', new BufferAttribute(corners, 3));
    geometry.setIndex([0, 1, 2, 0, 2, 3]);
    this.attributes = (['from', 'to', 'look'] as const).map((name) => {
      const attribute = new InstancedBufferAttribute(this.pieces[name], 4).setUsage(DynamicDrawUsage);
      geometry.setAttribute(`i${name[0]!.toUpperCase()}${name.slice(1)}`, attribute);
      return attribute;
    });
    geometry.instanceCount = 0;
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      transparent: true,
      depthWrite: false,
      uniforms: {
        uCentre: { value: new Vector3(place.x, place.y, 0) },
        uScale: { value: 1 },
        uViewport_px: { value: new Vector2(1, 1) },
        uStart: { value: 0 },
        uCursor: { value: 0 },
        uGround: { value: new Vector3() },
      },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 3;
    this.mesh.visible = false;
  }

  get bytes(): number {
    return this.mesh.visible ? 4 * STRIDE * (MOST_LINKS + MOST_PIECES) : 0;
  }

  /** Pieces of ways, whatever of them the cursor lets show. */
  get length(): number {
    return this.waysEnd - MOST_LINKS;
  }

  setWays(ways: readonly ColouredWay[]): void {
    const share = Math.floor(MOST_PIECES / Math.max(ways.length, 1));
    let at = MOST_LINKS;
    for (const way of ways) {
      const last = way.iterations.length - 1;
      const step = Math.max(1, Math.ceil(last / share));
      for (let from = 0; from < last; from += step) {
        at += this.write(at, way, from, Math.min(from + step, last)) ? 1 : 0;
      }
    }
    this.waysEnd = at;
    const starts = ways.map(({ iterations }) => iterations[0] ?? 0);
    this.mesh.material.uniforms.uStart!.value = starts.length > 0 ? Math.min(...starts) : 0;
    this.changed();
  }

  /** Straight lines from one point to others, in the embedding's own unit. */
  setLinks(from: readonly number[] | null, to: readonly (readonly number[])[], colour: Rgb): void {
    this.links = from ? Math.min(to.length, MOST_LINKS) : 0;
    const { pieces } = this;
    for (let link = 0; link < MOST_LINKS; link += 1) {
      const at = link * 4;
      const end = link < this.links ? to[link]! : null;
      pieces.from.set(end && from ? [...from, ALWAYS] : [0, 0, 0, ALWAYS], at);
      pieces.to.set(end ? [...end, ALWAYS] : [0, 0, 0, ALWAYS], at);
      pieces.look.set(end ? [...colour, LINK_px] : [0, 0, 0, -1], at);
    }
    this.changed();
  }

  /** The snapshot on screen: ways end here, and points of the embedding lie at this scale. */
  follow(iteration: number, scale: number): void {
    const { uCursor, uScale } = this.mesh.material.uniforms;
    uCursor!.value = iteration;
    uScale!.value = scale;
  }

  paint(theme: SceneTheme): void {
    (this.mesh.material.uniforms.uGround!.value as Vector3).set(...theme.background);
  }

  setView(width_px: number, height_px: number): void {
    (this.mesh.material.uniforms.uViewport_px!.value as Vector2).set(width_px / 2, height_px / 2);
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }

  private write(at: number, { iterations, points, colour }: ColouredWay, from: number, to: number): boolean {
    const [a, b] = [points.subarray(from * 3, from * 3 + 3), points.subarray(to * 3, to * 3 + 3)];
    if (!a.every(Number.isFinite) || !b.every(Number.isFinite)) return false;
    const { pieces } = this;
    pieces.from.set(a, at * 4);
    pieces.from[at * 4 + 3] = iterations[from]!;
    pieces.to.set(b, at * 4);
    pieces.to[at * 4 + 3] = iterations[to]!;
    pieces.look.set(colour, at * 4);
    pieces.look[at * 4 + 3] = WAY_px;
    return true;
  }

  private changed(): void {
    const used = this.links > 0 || this.length > 0;
    this.mesh.visible = used;
    this.mesh.geometry.instanceCount = used ? this.waysEnd : 0;
    if (used) for (const attribute of this.attributes) attribute.needsUpdate = true;
  }
}
