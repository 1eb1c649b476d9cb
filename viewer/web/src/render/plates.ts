/** All tensors of a run as instanced plates: one draw call, positions set once, scales set per snapshot. */

import {
  BoxGeometry,
  GLSL3,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  IntType,
  Mesh,
  ShaderMaterial,
  Vector3,
} from 'three';
import type { Frame, Plan, TensorInfo } from '../data/types';
import { isLost, sampleAt } from '../data/samples';
import type { Box } from '../layout/boxes';
import { slicesOf, type CellAddress } from '../layout/cells';
import { blockHue, sharedScale, tensorScale } from '../layout/colour';
import type { ScaleMode } from '../state/model';
import { PLATE_FRAGMENT, PLATE_VERTEX, PlateFlag, SPLIT_MOST, SPLIT_SHIFT, TILE_SHIFT } from './shaders';
import type { SampleTextures } from './textures';
import type { SceneTheme } from './theme';

const DEPTH = 1.1;
const STRIP_DEPTH = 0.8;

function flagsOf(box: Box, tensor: TensorInfo, plan: Plan): number {
  let flags = 0;
  if (tensor.array === 'vectors') flags |= PlateFlag.single;
  if (box.transposed) flags |= PlateFlag.transposed;
  if (box.ghost) flags |= PlateFlag.ghost;
  if (tensor.samples === 0 || isLost(plan, tensor)) flags |= PlateFlag.empty;
  if (box.split) {
    flags |= box.split.axis === 'rows' ? PlateFlag.splitRows : PlateFlag.splitColumns;
    flags |= Math.min(box.split.parts, SPLIT_MOST) << SPLIT_SHIFT;
  }
  if (box.tile) flags |= (box.tile[0] | (box.tile[1] << 4)) << TILE_SHIFT;
  return flags;
}

export class Plates {
  readonly mesh: Mesh<InstancedBufferGeometry, ShaderMaterial>;
  private readonly boxes: readonly Box[];
  private readonly plan: Plan;
  private readonly taps: number;
  private readonly scales: Float32Array;
  /** The box of each instance. */
  private readonly owners: readonly number[];
  private readonly instanceScales: Float32Array;
  private readonly scaleAttribute: InstancedBufferAttribute;

  constructor(boxes: readonly Box[], plan: Plan, textures: SampleTextures, taps: number) {
    this.boxes = boxes;
    this.plan = plan;
    this.taps = taps;
    this.scales = new Float32Array(boxes.length);
    this.owners = boxes.flatMap((box, index) => slicesOf(box, plan.tensors[box.tensor]!).map(() => index));
    this.instanceScales = new Float32Array(this.owners.length);
    this.scaleAttribute = new InstancedBufferAttribute(this.instanceScales, 1);
    const geometry = plateGeometry(boxes, plan);
    geometry.setAttribute('iScale', this.scaleAttribute);
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: PLATE_VERTEX,
      fragmentShader: PLATE_FRAGMENT,
      uniforms: {
        uHalf: { value: textures.half },
        uSingle: { value: textures.single },
        uSharedScale: { value: 0 },
        uHasData: { value: false },
        uBackground: { value: new Vector3() },
        uZero: { value: new Vector3() },
        uNegative: { value: new Vector3() },
        uHover: { value: new Vector3(-1, -1, -1) },
        uSelected: { value: -1 },
        uTaps: { value: taps },
      },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
  }

  /** What one end of a plate's colour bar stands for. */
  scaleOf(plate: number): number {
    const shared = this.uniform('uSharedScale').value as number;
    return shared > 0 ? shared : this.scales[plate]!;
  }

  /** Scales of a new snapshot; null means that there is no picture to show. */
  show(frame: Frame | null, statistics: readonly string[], mode: ScaleMode): void {
    this.uniform('uHasData').value = frame !== null;
    if (!frame) return;
    const rms = statistics.indexOf('rms');
    const absmax = statistics.indexOf('absmax');
    this.boxes.forEach((box, index) => {
      const tensor = this.plan.tensors[box.tensor]!;
      const table = frame.statistics;
      const known = table !== null && rms >= 0 && absmax >= 0;
      const row = box.tensor * statistics.length;
      this.scales[index] = known
        ? tensorScale(table[row + rms]!, table[row + absmax]!)
        : sampleScale(frame, this.plan, tensor);
    });
    this.owners.forEach((box, instance) => (this.instanceScales[instance] = this.scales[box]!));
    this.scaleAttribute.needsUpdate = true;
    this.uniform('uSharedScale').value = mode === 'shared' ? sharedScale([...this.scales]) : 0;
  }

  /** False if this cell was highlighted already. */
  highlight(cell: CellAddress | null): boolean {
    const value = this.uniform('uHover').value as Vector3;
    const before = value.clone();
    value.set(cell?.plate ?? -1, cell?.row ?? -1, cell?.column ?? -1);
    return !value.equals(before);
  }

  /** Coarse sums up one sample for each pixel: quicker, and a little less true from afar. */
  setCoarse(coarse: boolean): void {
    this.uniform('uTaps').value = coarse ? 1 : this.taps;
  }

  select(plate: number): void {
    this.uniform('uSelected').value = plate;
  }

  paint(theme: SceneTheme): void {
    (this.uniform('uBackground').value as Vector3).set(...theme.background);
    (this.uniform('uZero').value as Vector3).set(...theme.ramp.zero);
    (this.uniform('uNegative').value as Vector3).set(...theme.ramp.negative);
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }

  private uniform(name: string): { value: unknown } {
    return this.mesh.material.uniforms[name]!;
  }
}

function plateGeometry(boxes: readonly Box[], plan: Plan): InstancedBufferGeometry {
  const geometry = new InstancedBufferGeometry();
  const cube = new BoxGeometry(1, 1, 1);
  geometry.index = cube.index;
  geometry.setAttribute('position', cube.getAttribute('position'));
  geometry.setAttribute('normal', cube.getAttribute('normal'));
  const pieces = boxes.flatMap((box, plate) => {
    const tensor = plan.tensors[box.tensor]!;
    return slicesOf(box, tensor).map((slice) => ({ box, plate, tensor, slice }));
  });
  const count = pieces.length;
  geometry.instanceCount = count;
  const centres = new Float32Array(count * 2);
  const sizes = new Float32Array(count * 3);
  const sources = new Uint32Array(count * 4);
  const ranges = new Uint32Array(count * 4);
  const plates = new Uint32Array(count);
  const hues = new Float32Array(count * 3);
  pieces.forEach(({ box, plate, tensor, slice }, index) => {
    const strip = Math.min(slice.width, slice.height) < 1.5;
    centres.set([slice.x, slice.y], index * 2);
    sizes.set([slice.width, slice.height, strip ? STRIP_DEPTH : DEPTH], index * 3);
    const [rows, columns] = tensor.grid;
    sources.set([tensor.offset, Math.max(rows, 1), Math.max(columns, 1), flagsOf(box, tensor, plan)], index * 4);
    ranges.set([slice.row, slice.column, Math.max(slice.rows, 1), Math.max(slice.columns, 1)], index * 4);
    plates[index] = plate;
    hues.set(blockHue(box.block), index * 3);
  });
  geometry.setAttribute('iCentre', new InstancedBufferAttribute(centres, 2));
  geometry.setAttribute('iSize', new InstancedBufferAttribute(sizes, 3));
  geometry.setAttribute('iSource', integers(sources, 4));
  geometry.setAttribute('iSlice', integers(ranges, 4));
  geometry.setAttribute('iPlate', integers(plates, 1));
  geometry.setAttribute('iHue', new InstancedBufferAttribute(hues, 3));
  return geometry;
}

function integers(data: Uint32Array, size: number): InstancedBufferAttribute {
  const attribute = new InstancedBufferAttribute(data, size);
  attribute.gpuType = IntType;
  return attribute;
}

/** Where a run keeps no statistics, the samples themselves give the scale. */
function sampleScale(frame: Frame, plan: Plan, tensor: TensorInfo): number {
  let sum = 0;
  let count = 0;
  let absmax = 0;
  for (let index = tensor.offset; index < tensor.offset + tensor.samples; index += 1) {
    const value = sampleAt(frame, plan, tensor, index);
    if (value === null || !Number.isFinite(value)) continue;
    sum += value * value;
    count += 1;
    absmax = Math.max(absmax, Math.abs(value));
  }
  return count > 0 ? tensorScale(Math.sqrt(sum / count), absmax) : 0;
}
