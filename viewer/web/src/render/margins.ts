/** Norms of rows and columns as bars beside their plates: one draw call, seen from near only. */

import {
  GLSL3,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  IntType,
  Mesh,
  PlaneGeometry,
  ShaderMaterial,
  Vector2,
  Vector3,
  type PerspectiveCamera,
  type Texture,
} from 'three';
import type { Plan } from '../data/types';
import type { Box } from '../layout/boxes';
import { slicesOf } from '../layout/cells';
import { blockHue } from '../layout/colour';
import { MARGIN_FRAGMENT, MARGIN_VERTEX, MarginFlag } from './marginshaders';
import type { SceneTheme } from './theme';

/** World units: how far the bars stand from the plate, and how long the longest one is; strips beside plates keep their room. */
const GAP = 0.05;
const REACH = 0.36;
/** A plate whose longer side is shorter than this on screen has no margins. */
const LEAST_px = 140;

interface Strip {
  centre: [number, number];
  size: [number, number];
  source: [number, number, number, number];
  plate: number;
  block: string;
}

/** Margins of a box. `at`: where its rows begin in the texture of orders; its columns follow. */
function stripsOf(box: Box, plan: Plan, at: number): Strip[] {
  const tensor = plan.tensors[box.tensor]!;
  const [rows, columns] = tensor.grid;
  if (rows < 2 || columns < 2 || box.ghost || tensor.samples === 0) return [];
  return slicesOf(box, tensor).flatMap((slice) => {
    const plate = Math.max(slice.width, slice.height);
    const reach = Math.min(REACH, plate * 0.1);
    const gap = Math.min(GAP, plate * 0.02);
    return (['rows', 'columns'] as const).map((axis): Strip => {
      const beside = (axis === 'rows') !== box.transposed;
      const flags = (beside ? MarginFlag.beside : 0) | (axis === 'columns' ? MarginFlag.columns : 0);
      const [base, first, count] =
        axis === 'rows' ? [at, slice.row, slice.rows] : [at + rows, slice.column, slice.columns];
      return {
        centre: beside
          ? [slice.x - slice.width / 2 - gap - reach / 2, slice.y]
          : [slice.x, slice.y + slice.height / 2 + gap + reach / 2],
        size: beside ? [reach, slice.height] : [slice.width, reach],
        source: [base, first, count, flags],
        plate,
        block: box.block,
      };
    });
  });
}

export class Margins {
  readonly mesh: Mesh<InstancedBufferGeometry, ShaderMaterial>;

  constructor(boxes: readonly Box[], plan: Plan, starts: readonly number[]) {
    const strips = boxes.flatMap((box, index) => stripsOf(box, plan, starts[index]!));
    const geometry = new InstancedBufferGeometry();
    const plane = new PlaneGeometry(1, 1);
    geometry.index = plane.index;
    geometry.setAttribute('position', plane.getAttribute('position'));
    geometry.instanceCount = strips.length;
    const flat = (of: (strip: Strip) => readonly number[]) => Float32Array.from(strips.flatMap(of));
    geometry.setAttribute('iCentre', new InstancedBufferAttribute(flat(({ centre }) => centre), 2));
    geometry.setAttribute('iSize', new InstancedBufferAttribute(flat(({ size }) => size), 2));
    geometry.setAttribute('iPlate', new InstancedBufferAttribute(flat(({ plate }) => [plate]), 1));
    geometry.setAttribute('iHue', new InstancedBufferAttribute(flat(({ block }) => blockHue(block)), 3));
    const source = new InstancedBufferAttribute(Uint32Array.from(strips.flatMap((strip) => strip.source)), 4);
    source.gpuType = IntType;
    geometry.setAttribute('iSource', source);
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: MARGIN_VERTEX,
      fragmentShader: MARGIN_FRAGMENT,
      transparent: true,
      depthWrite: false,
      uniforms: {
        uOrder: { value: null },
        uSort: { value: new Vector2() },
        uBackground: { value: new Vector3() },
        uUnitsPerPixel: { value: 1 },
        uLeast_px: { value: LEAST_px },
      },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.visible = false;
  }

  /** `order`: orders and shares; null where no norms are known. */
  show(order: Texture | null, sort: Vector2): void {
    this.mesh.visible = order !== null;
    this.mesh.material.uniforms.uOrder!.value = order;
    (this.mesh.material.uniforms.uSort!.value as Vector2).copy(sort);
  }

  setView(camera: PerspectiveCamera, height_px: number): void {
    this.mesh.material.uniforms.uUnitsPerPixel!.value = 2 / (camera.projectionMatrix.elements[5]! * height_px);
  }

  paint(theme: SceneTheme): void {
    (this.mesh.material.uniforms.uBackground!.value as Vector3).set(...theme.background);
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }
}
