/** Spine, flow and brackets as ribbons in one mesh: one draw call, antialiased by nothing but their width. */

import { BufferAttribute, BufferGeometry, GLSL3, Mesh, ShaderMaterial, Vector3 } from 'three';
import type { Line } from '../layout/boxes';
import { blockHue, mix, type Rgb } from '../layout/colour';
import { LINE_FRAGMENT, LINE_VERTEX } from './shaders';
import type { SceneTheme } from './theme';

const DEPTHS: Record<Line['kind'], number> = { spine: -1.6, flow: -0.55, bracket: -0.55, tie: -0.7 };

interface Triangles {
  positions: number[];
  colours: number[];
}

export class Lines {
  readonly mesh: Mesh<BufferGeometry, ShaderMaterial>;

  constructor(lines: readonly Line[], theme: SceneTheme) {
    const out: Triangles = { positions: [], colours: [] };
    for (const line of lines) addLine(line, theme, out);
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', new BufferAttribute(new Float32Array(out.positions), 3));
    geometry.setAttribute('aColour', new BufferAttribute(new Float32Array(out.colours), 4));
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: LINE_VERTEX,
      fragmentShader: LINE_FRAGMENT,
      transparent: true,
      depthWrite: false,
      uniforms: { uBackground: { value: new Vector3() }, uInk: { value: 0 } },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 1;
    this.paint(theme);
  }

  paint(theme: SceneTheme): void {
    const { uBackground, uInk } = this.mesh.material.uniforms;
    (uBackground!.value as Vector3).set(...theme.background);
    uInk!.value = theme.ink;
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }
}

function colourOf(line: Line, theme: SceneTheme): [Rgb, number] {
  if (line.kind === 'spine') return [theme.spine, 0.22];
  if (line.kind === 'bracket') return [theme.frame, 0.9];
  if (line.block === 'other') return [theme.spine, 0.6];
  return [mix(blockHue(line.block), theme.spine, 0.25), line.kind === 'tie' ? 0.35 : 0.7];
}

function addLine(line: Line, theme: SceneTheme, out: Triangles): void {
  const [colour, alpha] = colourOf(line, theme);
  const z = DEPTHS[line.kind];
  const half = line.thickness / 2;
  const push = (points: readonly (readonly [number, number])[]) => {
    for (const [x, y] of points) {
      out.positions.push(x, y, z);
      out.colours.push(...colour, alpha);
    }
  };
  const points = line.points;
  for (let index = 1; index < points.length; index += 1) {
    const [x0, y0] = points[index - 1]!;
    const [x1, y1] = points[index]!;
    const length = Math.hypot(x1 - x0, y1 - y0);
    if (length === 0) continue;
    const [dx, dy] = [(x1 - x0) / length, (y1 - y0) / length];
    const [nx, ny] = [-dy * half, dx * half];
    const isLast = index === points.length - 1;
    const head = line.arrow && isLast ? Math.min(line.kind === 'spine' ? half * 0.5 : half * 4, length) : 0;
    // A corner belongs to the segment before it: drawn once, so it isn't denser than the rest.
    const past = isLast ? -head : half;
    const skip = index === 1 ? 0 : half;
    const [ax, ay] = [x0 + dx * skip, y0 + dy * skip];
    const [bx, by] = [x1 + dx * past, y1 + dy * past];
    push([
      [ax + nx, ay + ny],
      [ax - nx, ay - ny],
      [bx - nx, by - ny],
      [ax + nx, ay + ny],
      [bx - nx, by - ny],
      [bx + nx, by + ny],
    ]);
    if (head > 0) {
      const spread = line.kind === 'spine' ? 1 : 2.6;
      push([
        [bx + nx * spread, by + ny * spread],
        [bx - nx * spread, by - ny * spread],
        [x1, y1],
      ]);
    }
  }
}
