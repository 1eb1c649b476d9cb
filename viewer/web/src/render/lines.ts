/** Spine, flow, brackets and grounds as ribbons in one mesh: one draw call, feathered edges. */

import { BufferAttribute, BufferGeometry, GLSL3, Mesh, ShaderMaterial, type PerspectiveCamera } from 'three';
import type { Line } from '../layout/boxes';
import { blockHue, mix, type Rgb } from '../layout/colour';
import { LINE_FRAGMENT, LINE_VERTEX } from './shaders';
import type { SceneTheme } from './theme';

const DEPTHS: Record<Line['kind'], number> = {
  ...{ ground: -1.15, spine: -0.9, flow: -0.55, sum: -0.5, bracket: -0.55, tie: -0.7, dimension: 0.05 },
};

interface Triangles {
  positions: number[];
  across: number[];
  colours: number[];
}

type Point = readonly [number, number];

export class Lines {
  readonly mesh: Mesh<BufferGeometry, ShaderMaterial>;

  constructor(lines: readonly Line[], theme: SceneTheme) {
    const out: Triangles = { positions: [], across: [], colours: [] };
    const order = [...lines].sort((a, b) => DEPTHS[a.kind] - DEPTHS[b.kind]);
    for (const line of order) addLine(line, theme, out);
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', new BufferAttribute(new Float32Array(out.positions), 3));
    geometry.setAttribute('aAcross', new BufferAttribute(new Float32Array(out.across), 4));
    geometry.setAttribute('aColour', new BufferAttribute(new Float32Array(out.colours), 4));
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: LINE_VERTEX,
      fragmentShader: LINE_FRAGMENT,
      transparent: true,
      depthWrite: false,
      uniforms: { uUnitsPerPixel: { value: 0.001 }, uInk: { value: 0 } },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 1;
    this.paint(theme);
  }

  paint(theme: SceneTheme): void {
    this.mesh.material.uniforms.uInk!.value = theme.ink;
  }

  /** How large a pixel is at depth 1, for the least width. */
  setView(camera: PerspectiveCamera, height_px: number): void {
    this.mesh.material.uniforms.uUnitsPerPixel!.value = 2 / (camera.projectionMatrix.elements[5]! * height_px);
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }
}

function colourOf(line: Line, theme: SceneTheme): [Rgb, number] {
  if (line.kind === 'spine') return [theme.spine, 0.2];
  if (line.hue) return [line.hue, 1];
  if (line.kind === 'sum') return [mix(theme.spine, [1, 1, 1], 0.35), 1];
  if (line.kind === 'bracket') return [theme.frame, 1];
  if (line.kind === 'ground') return [blockHue(line.block), 0.1];
  if (line.block === 'other') return [theme.spine, 0.55];
  return [mix(blockHue(line.block), theme.spine, 0.2), line.kind === 'tie' ? 0.35 : 0.75];
}

/** One strip of triangles per line; corners are mitred, so that they show no seam. */
function addLine(line: Line, theme: SceneTheme, out: Triangles): void {
  const [colour, alpha] = colourOf(line, theme);
  const z = DEPTHS[line.kind];
  const half = line.thickness / 2;
  const vertex = ([x, y]: Point, [nx, ny]: Point, side: number, spread = 1) => {
    out.positions.push(x, y, z);
    out.across.push(nx * side, ny * side, half * spread, side);
    out.colours.push(...colour, alpha);
  };
  const points = [...line.points];
  const tip = points.at(-1)!;
  const along = direction(points.at(-2)!, tip);
  const head = line.arrow ? (line.kind === 'spine' ? half * 0.5 : half * 3.4) : 0;
  points[points.length - 1] = [tip[0] - along[0] * head, tip[1] - along[1] * head];
  const normals = mitres(points);
  for (let index = 1; index < points.length; index += 1) {
    const [a, b] = [points[index - 1]!, points[index]!];
    const [na, nb] = [normals[index - 1]!, normals[index]!];
    vertex(a, na, 1);
    vertex(a, na, -1);
    vertex(b, nb, -1);
    vertex(a, na, 1);
    vertex(b, nb, -1);
    vertex(b, nb, 1);
  }
  if (head === 0) return;
  const spread = line.kind === 'spine' ? 1 : 2.4;
  const normal = normals.at(-1)!;
  vertex(points.at(-1)!, normal, 1, spread);
  vertex(points.at(-1)!, normal, -1, spread);
  vertex(tip, normal, 0, spread);
}

function direction([x0, y0]: Point, [x1, y1]: Point): Point {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  return [(x1 - x0) / length, (y1 - y0) / length];
}

/** For each point the vector across the line, as long as it takes to keep the line's width at a corner. */
function mitres(points: readonly Point[]): Point[] {
  return points.map((point, index) => {
    const before = index > 0 ? direction(points[index - 1]!, point) : direction(point, points[1]!);
    const after = index < points.length - 1 ? direction(point, points[index + 1]!) : before;
    const [mx, my] = [-before[1] - after[1], before[0] + after[0]];
    const scale = 1 + before[0] * after[0] + before[1] * after[1];
    return [mx / scale, my / scale];
  });
}
