/** Token embeddings as points in a framed cube; they glide when their projection changes. */

import {
  BufferAttribute,
  BufferGeometry,
  DynamicDrawUsage,
  GLSL3,
  LineBasicMaterial,
  LineSegments,
  Points,
  ShaderMaterial,
  Vector2,
  Vector3,
} from 'three';
import type { FrameEmbedding } from '../data/types';
import type { CloudFrame } from '../layout/boxes';
import { MAGNITUDE_STOPS, type Rgb } from '../layout/colour';
import { POINT_FRAGMENT, pointVertex } from './shaders';
import type { SceneTheme } from './theme';

const GLIDE_ms = 700;

export interface CloudFacts {
  /** half of the cube's side, in the embedding's own unit */
  extent: number;
  magnitudes: [number, number];
  shown: number;
  tokens: number;
}

/** One number for each recorded token, and what it means: a place on the scale, or a colour of the palette. */
export interface Shades {
  /** negative where nothing is known */
  values: Float32Array;
  /** ends of the scale; null for a palette */
  range: readonly [number, number] | null;
  palette: readonly Rgb[];
}

/** Colours that a palette may have. */
const MOST_COLOURS = 8;
/** Where a point that is not finite is put: out of everyone's sight. */
const NOWHERE = 1e9;

export class Cloud {
  readonly points: Points<BufferGeometry, ShaderMaterial>;
  readonly frame: LineSegments<BufferGeometry, LineBasicMaterial>;
  readonly place: CloudFrame;
  private readonly mostPoints: number;
  private readonly ratio: number;
  /** device pixels at rest */
  private size_px = 4;
  private basis: number | null = null;
  /** The buffers of the points: places, places before a glide, shades. Reused from snapshot to snapshot. */
  private coordinates: Float32Array<ArrayBuffer> = new Float32Array(0);
  private from: Float32Array<ArrayBuffer> = new Float32Array(0);
  private shades: Float32Array<ArrayBuffer> = new Float32Array(0);
  /** Magnitudes are shown unless other shades are given. */
  private hasOwnShades = false;
  private glideStart_ms: number | null = null;
  /** Every stride-th token is drawn where all would be too many. */
  private stride = 1;
  private facts: CloudFacts | null = null;

  constructor(place: CloudFrame, mostPoints: number, ratio: number) {
    this.place = place;
    this.mostPoints = mostPoints;
    this.ratio = ratio;
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: pointVertex(MAGNITUDE_STOPS),
      fragmentShader: POINT_FRAGMENT,
      uniforms: {
        uMix: { value: 1 },
        uExtent: { value: 1 },
        uCentre: { value: new Vector3(place.x, place.y, 0) },
        uHalfSize: { value: place.size / 2 },
        uRange: { value: new Vector2(0, 1) },
        uPalette: { value: Array.from({ length: MOST_COLOURS }, () => new Vector3()) },
        uColours: { value: 0 },
        uNeutral: { value: new Vector3(0.5, 0.5, 0.5) },
        uSize_px: { value: 4 },
        uReach: { value: place.size * 5 },
        uInk: { value: 0 },
      },
    });
    this.points = new Points(new BufferGeometry(), material);
    this.points.frustumCulled = false;
    this.points.visible = false;
    this.frame = new LineSegments(cubeEdges(place), new LineBasicMaterial());
    this.frame.frustumCulled = false;
  }

  get known(): CloudFacts | null {
    return this.facts;
  }

  get isGliding(): boolean {
    return this.glideStart_ms !== null;
  }

  get bytes(): number {
    return this.coordinates.byteLength * 2 + (this.coordinates.byteLength / 3);
  }

  /** World units in one unit of the embedding. */
  get scale(): number {
    return this.place.size / 2 / (this.facts?.extent ?? 1);
  }

  /**
   * Shows a snapshot's coordinates, or others that were computed once. A new basis glides, unless motion is
   * unwelcome.
   */
  show(embedding: FrameEmbedding | null, now_ms: number, mayGlide: boolean, fixed: Float32Array | null = null): void {
    this.points.visible = embedding !== null;
    if (!embedding) {
      this.facts = null;
      return;
    }
    const tokens = embedding.magnitude.length;
    this.stride = Math.max(1, Math.ceil(tokens / this.mostPoints));
    const points = Math.ceil(tokens / this.stride);
    const basis = fixed ? FIXED : embedding.basis;
    const turned = this.basis !== null && this.basis !== basis;
    const source = fixed ?? embedding.coordinates;
    const glides = turned && mayGlide && this.coordinates.length === points * 3;
    this.makeRoom(points);
    if (glides) this.from.set(this.coordinates);
    copyPlaces(source, this.stride, this.coordinates);
    if (!glides) this.from.set(this.coordinates);
    this.glideStart_ms = glides ? now_ms : null;
    this.basis = basis;
    const magnitudes = finiteRange(embedding.magnitude);
    const extent = extentOf(source);
    const { uExtent, uMix } = this.points.material.uniforms;
    uExtent!.value = extent;
    // A few tokens are drawn large, many small.
    this.size_px = this.ratio * Math.min(Math.max(26 / Math.cbrt(tokens), 2.5), 6);
    uMix!.value = this.glideStart_ms === null ? 1 : 0;
    this.facts = { extent, magnitudes, shown: points, tokens };
    if (!this.hasOwnShades) this.writeShades(embedding.magnitude, magnitudes, []);
    this.touch('position', 'aFrom');
  }

  /** Share of the pixels at rest, per axis, that are drawn: points keep their size on the page. */
  setSharpness(share: number): void {
    this.points.material.uniforms.uSize_px!.value = this.size_px * share;
  }

  /** Colours the points by something else than their magnitude, from this snapshot on; null goes back. */
  shade(shades: Shades | null, magnitude: Float32Array | null): void {
    this.hasOwnShades = shades !== null;
    if (shades) this.writeShades(shades.values, shades.range, shades.palette);
    else if (magnitude) this.writeShades(magnitude, this.facts?.magnitudes ?? [0, 1], []);
  }

  /** Moves a running glide on; false if nothing moved. */
  advance(now_ms: number): boolean {
    if (this.glideStart_ms === null) return false;
    const t = Math.min((now_ms - this.glideStart_ms) / GLIDE_ms, 1);
    this.points.material.uniforms.uMix!.value = t * t * (3 - 2 * t);
    if (t >= 1) this.glideStart_ms = null;
    return true;
  }

  /** World position of the n-th drawn point. */
  worldOf(point: number, target: Vector3): Vector3 {
    const { scale } = this;
    const at = point * 3;
    return target.set(
      this.place.x + this.coordinates[at]! * scale,
      this.place.y + this.coordinates[at + 1]! * scale,
      this.coordinates[at + 2]! * scale,
    );
  }

  /** The drawn point of a row among the recorded tokens; null where only others are drawn. */
  pointOf(row: number): number | null {
    return row >= 0 && row % this.stride === 0 && row / this.stride < (this.facts?.shown ?? 0) ? row / this.stride : null;
  }

  /** Where a drawn point lies, in the embedding's own unit; null if it is nowhere. */
  placeOf(point: number): [number, number, number] | null {
    const at = point * 3;
    const [x, y, z] = [this.coordinates[at]!, this.coordinates[at + 1]!, this.coordinates[at + 2]!];
    return x < NOWHERE ? [x, y, z] : null;
  }

  /** Row among the recorded tokens of the n-th drawn point. */
  tokenOf(point: number): number {
    return point * this.stride;
  }

  paint(theme: SceneTheme): void {
    const { uInk, uNeutral } = this.points.material.uniforms;
    uInk!.value = theme.ink * 0.6;
    (uNeutral!.value as Vector3).set(...theme.frame);
    this.frame.material.color.setRGB(...theme.frame);
  }

  dispose(): void {
    this.points.geometry.dispose();
    this.points.material.dispose();
    this.frame.geometry.dispose();
    this.frame.material.dispose();
  }

  private makeRoom(points: number): void {
    if (this.coordinates.length === points * 3) return;
    const make = (name: string, size: number) => {
      const array = new Float32Array(points * size);
      this.points.geometry.setAttribute(name, new BufferAttribute(array, size).setUsage(DynamicDrawUsage));
      return array;
    };
    // The renderer has the old ones by their attributes, and lets go of them here.
    this.points.geometry.dispose();
    this.coordinates = make('position', 3);
    this.from = make('aFrom', 3);
    this.shades = make('aShade', 1);
  }

  private writeShades(values: Float32Array, range: readonly [number, number] | null, palette: readonly Rgb[]): void {
    const { shades, stride } = this;
    for (let point = 0; point < shades.length; point += 1) {
      const value = values[point * stride];
      shades[point] = value !== undefined && Number.isFinite(value) ? value : -1;
    }
    const { uRange, uPalette, uColours } = this.points.material.uniforms;
    if (range) (uRange!.value as Vector2).set(...range);
    uColours!.value = range ? 0 : palette.length;
    (uPalette!.value as Vector3[]).forEach((colour, index) => {
      const rgb = palette[index];
      if (rgb) colour.set(...rgb);
    });
    this.touch('aShade');
  }

  private touch(...names: string[]): void {
    for (const name of names) this.points.geometry.getAttribute(name).needsUpdate = true;
  }
}

/** In the place of a basis: coordinates that belong to none. */
const FIXED = -1;

function copyPlaces(source: Float32Array, stride: number, target: Float32Array): void {
  for (let point = 0, at = 0; at < target.length; point += 1, at += 3) {
    const from = point * stride * 3;
    const [x, y, z] = [source[from]!, source[from + 1]!, source[from + 2]!];
    const known = Number.isFinite(x) && Number.isFinite(y) && Number.isFinite(z);
    target[at] = known ? x : NOWHERE;
    target[at + 1] = known ? y : NOWHERE;
    target[at + 2] = known ? z : NOWHERE;
  }
}

function finiteRange(values: Float32Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}

/** The cube's half side in steps of 19 %, so that growth shows as growth between two steps. */
function extentOf(coordinates: Float32Array): number {
  const [low, high] = finiteRange(coordinates);
  const reach = Math.max(Math.abs(low), Math.abs(high), 1e-12);
  return 2 ** (Math.ceil(Math.log2(reach) * 4) / 4);
}

function cubeEdges({ x, y, size }: CloudFrame): BufferGeometry {
  const h = size / 2;
  const corner = (bits: number) => [
    x + (bits & 1 ? h : -h),
    y + (bits & 2 ? h : -h),
    bits & 4 ? h : -h,
  ];
  const points: number[] = [];
  for (let from = 0; from < 8; from += 1) {
    for (const axis of [1, 2, 4]) if (!(from & axis)) points.push(...corner(from), ...corner(from | axis));
  }
  // The axes through the middle.
  points.push(x - h, y, 0, x + h, y, 0, x, y - h, 0, x, y + h, 0, x, y, -h, x, y, h);
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(points), 3));
  return geometry;
}
