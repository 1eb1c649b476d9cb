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
import { MAGNITUDE_STOPS } from '../layout/colour';
import { POINT_VERTEX, pointFragment } from './shaders';
import type { SceneTheme } from './theme';

const GLIDE_ms = 700;

export interface CloudFacts {
  /** half of the cube's side, in the embedding's own unit */
  extent: number;
  magnitudes: [number, number];
  shown: number;
  tokens: number;
}

export class Cloud {
  readonly points: Points<BufferGeometry, ShaderMaterial>;
  readonly frame: LineSegments<BufferGeometry, LineBasicMaterial>;
  readonly place: CloudFrame;
  private readonly mostPoints: number;
  private readonly ratio: number;
  private basis: number | null = null;
  private coordinates: Float32Array<ArrayBuffer> = new Float32Array(0);
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
      vertexShader: POINT_VERTEX,
      fragmentShader: pointFragment(MAGNITUDE_STOPS),
      uniforms: {
        uMix: { value: 1 },
        uExtent: { value: 1 },
        uCentre: { value: new Vector3(place.x, place.y, 0) },
        uHalfSize: { value: place.size / 2 },
        uRange: { value: new Vector2(0, 1) },
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

  /** Shows a snapshot's coordinates. A new basis glides, unless motion is unwelcome. */
  show(embedding: FrameEmbedding | null, now_ms: number, mayGlide: boolean): void {
    this.points.visible = embedding !== null;
    if (!embedding) {
      this.facts = null;
      return;
    }
    const tokens = embedding.magnitude.length;
    this.stride = Math.max(1, Math.ceil(tokens / this.mostPoints));
    const coordinates = strided(embedding.coordinates, this.stride, 3);
    const turned = this.basis !== null && this.basis !== embedding.basis;
    const sameTokens = coordinates.length === this.coordinates.length;
    const from = turned && sameTokens && mayGlide ? this.coordinates : coordinates;
    this.glideStart_ms = from === coordinates ? null : now_ms;
    this.write(coordinates, from, strided(embedding.magnitude, this.stride, 1));
    this.basis = embedding.basis;
    const magnitudes = finiteRange(embedding.magnitude);
    const extent = extentOf(coordinates);
    const { uRange, uExtent, uMix, uSize_px } = this.points.material.uniforms;
    (uRange!.value as Vector2).set(...magnitudes);
    uExtent!.value = extent;
    // A few tokens are drawn large, many small.
    uSize_px!.value = this.ratio * Math.min(Math.max(26 / Math.cbrt(tokens), 2.5), 6);
    uMix!.value = this.glideStart_ms === null ? 1 : 0;
    this.facts = { extent, magnitudes, shown: coordinates.length / 3, tokens };
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
    const scale = this.place.size / 2 / (this.facts?.extent ?? 1);
    const at = point * 3;
    return target.set(
      this.place.x + this.coordinates[at]! * scale,
      this.place.y + this.coordinates[at + 1]! * scale,
      this.coordinates[at + 2]! * scale,
    );
  }

  /** Row among the recorded tokens of the n-th drawn point. */
  tokenOf(point: number): number {
    return point * this.stride;
  }

  paint(theme: SceneTheme): void {
    this.points.material.uniforms.uInk!.value = theme.ink * 0.6;
    this.frame.material.color.setRGB(...theme.frame);
  }

  dispose(): void {
    this.points.geometry.dispose();
    this.points.material.dispose();
    this.frame.geometry.dispose();
    this.frame.material.dispose();
  }

  private write(
    coordinates: Float32Array<ArrayBuffer>,
    from: Float32Array<ArrayBuffer>,
    magnitude: Float32Array<ArrayBuffer>,
  ): void {
    const { geometry } = this.points;
    const set = (name: string, array: Float32Array<ArrayBuffer>, size: number) => {
      const known = geometry.getAttribute(name) as BufferAttribute | undefined;
      if (known && known.array.length === array.length) {
        known.array.set(array);
        known.needsUpdate = true;
      } else {
        geometry.setAttribute(name, new BufferAttribute(array.slice(), size).setUsage(DynamicDrawUsage));
      }
    };
    set('position', coordinates, 3);
    set('aFrom', from, 3);
    set('aMagnitude', magnitude, 1);
    this.coordinates = coordinates;
  }
}

function strided(source: Float32Array, stride: number, width: number): Float32Array<ArrayBuffer> {
  if (stride === 1) return source.slice();
  const items = Math.ceil(source.length / width / stride);
  const result = new Float32Array(items * width);
  for (let item = 0; item < items; item += 1) {
    const at = item * stride * width;
    result.set(source.subarray(at, at + width), item * width);
  }
  return result;
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
