/** Spine, flow, brackets and grounds as ribbons in one mesh: one draw call, feathered edges. */

import { BufferAttribute, BufferGeometry, GLSL3, Mesh, ShaderMaterial, type PerspectiveCamera } from 'three';
import type { Line } from '../layout/boxes';
import { blockHue, mix, type Rgb } from '../layout/colour';
import { LINE_FRAGMENT, LINE_VERTEX } from './shaders';
import type { SceneTheme } from './theme';

const DEPTHS: Record<Line['kind'], number> = { ground: -1.3, spine: -1.6, flow: -0.55, bracket: -0.55, tie: -0.7 };

interface Triangles {
  positions: number[];
  /** unit vector across the ribbon toward this corner, and half of the ribbon's width */
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
    geometry.setAttribute('aAcross', new BufferAttribute(new Float32Array(out.across), 3));
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
  if (line.kind === 'bracket') return [theme.frame, 1];
  if (line.kind === 'ground') return [blockHue(line.block), 0.1];
  if (line.block === 'other') return [theme.spine, 0.55];
  return [mix(blockHue(line.block), theme.spine, 0.2), line.kind === 'tie' ? 0.35 : 0.75];
}

function addLine(line: Line, theme: SceneTheme, out: Triangles): void {
  const [colour, alpha] = colourOf(line, theme);
  const z = DEPTHS[line.kind];
  const half = line.thickness / 2;
  /** `side`: 1 and -1 are the ribbon's edges, 0 its middle; `spread` widens an arrow's head. */
  const corner = ([x, y]: Point, [nx, ny]: Point, side: number, spread = 1) => {
    out.positions.push(x, y, z);
    out.across.push(nx * side, ny * side, half * spread);
    out.colours.push(...colour, alpha);
  };
  for (let index = 1; index < line.points.length; index += 1) {
    const [x0, y0] = line.points[index - 1]!;
    const [x1, y1] = line.points[index]!;
    const length = Math.hypot(x1 - x0, y1 - y0);
    if (length === 0) continue;
    const [dx, dy] = [(x1 - x0) / length, (y1 - y0) / length];
    const normal: Point = [-dy, dx];
    const isLast = index === line.points.length - 1;
    const head = line.arrow && isLast ? Math.min(line.kind === 'spine' ? half * 0.5 : half * 3.4, length) : 0;
    // A corner belongs to the segment before it: drawn once, so it isn't denser than the rest.
    const past = isLast ? -head : half;
    const skip = index === 1 ? 0 : half;
    const a: Point = [x0 + dx * skip, y0 + dy * skip];
    const b: Point = [x1 + dx * past, y1 + dy * past];
    for (const [point, side] of [[a, 1], [a, -1], [b, -1], [a, 1], [b, -1], [b, 1]] as const) corner(point, normal, side);
    if (head === 0) continue;
    const spread = line.kind === 'spine' ? 1 : 2.4;
    corner(b, normal, 1, spread);
    corner(b, normal, -1, spread);
    corner([x1, y1], normal, 0, spread);
  }
}
