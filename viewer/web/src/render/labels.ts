/** Labels as instanced quads of constant screen size: which are shown, and where, is chosen for each camera. */

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
  type PerspectiveCamera,
} from 'three';
import type { Label } from '../layout/boxes';
import { meets, meetsQuad, placeLabels, type LabelCandidate, type Quad, type ScreenRect } from '../layout/labels';
import { LabelAtlas } from './labelatlas';
import { quadsOf, type Plate } from './platequads';
import { LABEL_FRAGMENT, LABEL_VERTEX } from './shaders';
import type { SceneTheme } from './theme';

const MOST_SHOWN = 400;
const GAP_px = 3;
/** What is smaller than this on screen goes without a name, however short that is. */
const LEAST_SPAN_px = 28;
/** Labels up to this priority name main parts and are kept also where these are small. */
const MAIN_PRIORITY = 4;
/** Where one label has less room than three times its own height, all give way to their short forms. */
const ROOMY_px = 60;

/** A label, or one of its two forms: of all that are seen, either the whole or the short ones are shown. */
interface Entry extends Label {
  form: 'only' | 'whole' | 'short';
}

interface Candidate extends LabelCandidate {
  form: Entry['form'];
  /** Where its point is on screen. */
  x: number;
  y: number;
}

/** What is shown of a label, in CSS pixels of its view. */
export interface ShownLabel extends ScreenRect {
  text: string;
  /** Named for the moment. */
  isPassing: boolean;
}

/** The room that labels may take: a view's size, and what the page has put over it. CSS pixels. */
export interface Room {
  width: number;
  height: number;
  blocked: readonly ScreenRect[];
}

function withShort(label: Label): Entry[] {
  if (label.short === undefined) return [{ ...label, form: 'only' }];
  return [
    { ...label, form: 'whole' },
    { ...label, text: label.short, tone: 'plain', form: 'short' },
  ];
}

export class Labels {
  readonly mesh: Mesh<InstancedBufferGeometry, ShaderMaterial>;
  /** What the last `place` chose. */
  shown: readonly ShownLabel[] = [];
  private readonly labels: readonly Entry[];
  private readonly plates: readonly Plate[];
  private quads: readonly Quad[] = [];
  /** What is named for the moment, over everything else. */
  private passing: readonly Entry[] = [];
  private readonly atlas: LabelAtlas;
  private readonly ratio: number;
  private readonly anchors = new Float32Array(MOST_SHOWN * 3);
  private readonly rects = new Float32Array(MOST_SHOWN * 4);
  private readonly places = new Float32Array(MOST_SHOWN * 4);

  /** `plates`: what no label may lie on. `ratio`: device pixels per CSS pixel. `passing`: all that `showPassing` may be given. */
  constructor(labels: readonly Label[], plates: readonly Plate[], ratio: number, passing: readonly Label[] = []) {
    // Each label and its short form are two entries; which of them is placed depends on the distance.
    this.labels = labels.flatMap(withShort).sort((a, b) => a.priority - b.priority);
    this.plates = plates;
    this.ratio = ratio;
    this.atlas = new LabelAtlas([...passing.flatMap(withShort), ...this.labels], ratio);
    const geometry = new InstancedBufferGeometry();
    const corners = new Float32Array([-0.5, -0.5, 0, 0.5, -0.5, 0, 0.5, 0.5, 0, -0.5, 0.5, 0]);
    geometry.setAttribute('position', new BufferAttribute(corners, 3));
    geometry.setIndex([0, 1, 2, 0, 2, 3]);
    for (const [name, array, size] of [
      ['iAnchor', this.anchors, 3],
      ['iRect_px', this.rects, 4],
      ['iAtlas', this.places, 4],
    ] as const) {
      geometry.setAttribute(name, new InstancedBufferAttribute(array, size).setUsage(DynamicDrawUsage));
    }
    geometry.instanceCount = 0;
    const material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: LABEL_VERTEX,
      fragmentShader: LABEL_FRAGMENT,
      transparent: true,
      premultipliedAlpha: true,
      depthTest: false,
      depthWrite: false,
      uniforms: { uAtlas: { value: this.atlas.texture }, uViewport_px: { value: new Vector2(1, 1) } },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 10;
  }

  get bytes(): number {
    return this.atlas.bytes;
  }

  paint(theme: SceneTheme): void {
    this.atlas.paint(theme);
  }

  /** Chooses and places the labels for this camera. */
  place(camera: PerspectiveCamera, room: Room): void {
    const labels = [...this.passing, ...this.labels];
    this.quads = quadsOf(this.plates, camera, room.width, room.height);
    const candidates = this.candidatesOf(labels, camera, room);
    const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
    const places = placeLabels(candidates, { blocked: room.blocked, plates: this.quads }).slice(0, MOST_SHOWN);
    this.shown = places.map(({ id, left, top }, index) => {
      const { x, y, width, height } = byId.get(id)!;
      this.write(index, labels[id]!, left - x, y - top - height);
      return { text: labels[id]!.text, isPassing: id < this.passing.length, left, top, width, height };
    });
    const { geometry } = this.mesh;
    geometry.instanceCount = places.length;
    for (const name of ['iAnchor', 'iRect_px', 'iAtlas']) geometry.getAttribute(name).needsUpdate = true;
    const viewport = this.mesh.material.uniforms.uViewport_px!.value as Vector2;
    viewport.set(room.width * this.ratio, room.height * this.ratio);
  }

  /** Whether a rectangle of the view lies on no label and on no plate. */
  isFree(rect: ScreenRect): boolean {
    return !this.shown.some((label) => meets(label, rect)) && !this.quads.some((quad) => meetsQuad(rect, quad));
  }

  /** Labels for the moment; seen from the next `place` on. */
  showPassing(labels: readonly Label[]): void {
    this.passing = labels.flatMap(withShort);
  }

  dispose(): void {
    this.atlas.texture.dispose();
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }

  /** Labels that are wholly in the window, and whose things are large enough to be named. */
  private candidatesOf(labels: readonly Entry[], camera: PerspectiveCamera, room: Room): Candidate[] {
    const candidates: Candidate[] = [];
    const tooSmall = new Set<string>();
    let isTight = false;
    const at = new Vector3();
    const projected = camera.projectionMatrix.clone().multiply(camera.matrixWorldInverse);
    const toView = camera.matrixWorldInverse.elements;
    const scale = (room.height / 2) * camera.projectionMatrix.elements[5]!;
    labels.forEach((label, id) => {
      const glyph = this.atlas.glyphOf(label);
      if (!glyph) return;
      at.set(label.x, label.y, label.z ?? 0);
      const depth = -(toView[2]! * at.x + toView[6]! * at.y + toView[10]! * at.z + toView[14]!);
      if (depth <= 0) return;
      at.applyMatrix4(projected);
      if (Math.abs(at.x) > 1.1 || Math.abs(at.y) > 1.1) return;
      const { form, priority, group } = label;
      const [width, height] = [glyph.width / this.ratio, glyph.height / this.ratio];
      const span_px = (label.span * scale) / depth;
      const needed_px = priority <= MAIN_PRIORITY ? height * 0.9 : Math.min(Math.max(width * 0.72, LEAST_SPAN_px), 44);
      if (form === 'whole' && span_px < ROOMY_px) isTight = true;
      if (span_px < needed_px) {
        if (group !== undefined) tooSmall.add(group);
        return;
      }
      const [x, y] = [(at.x * 0.5 + 0.5) * room.width, (0.5 - at.y * 0.5) * room.height];
      const [first, ...others] = [label.anchor, ...(label.otherAnchors ?? [])]
        .map((anchor) => {
          const [dx, dy] = offsetOf(anchor, width, height);
          return { left: x + dx, top: y - dy - height };
        })
        .filter(({ left, top }) => left >= 0 && top >= 0 && left + width <= room.width && top + height <= room.height);
      if (!first) return;
      const overPlates = id < this.passing.length;
      candidates.push({ id, x, y, form, ...first, others, width, height, priority, group, overPlates });
    });
    const unwanted = isTight ? 'whole' : 'short';
    return candidates.filter(({ form, group }) => form !== unwanted && (group === undefined || !tooSmall.has(group)));
  }

  /** One instance: a text, and its lower left corner from its point, CSS pixels, y up. */
  private write(index: number, label: Entry, dx: number, dy: number): void {
    const glyph = this.atlas.glyphOf(label)!;
    const { width, height } = this.atlas.size;
    this.anchors.set([label.x, label.y, label.z ?? 0], index * 3);
    this.rects.set([dx * this.ratio, dy * this.ratio, glyph.width, glyph.height], index * 4);
    this.places.set([glyph.x / width, glyph.y / height, glyph.width / width, glyph.height / height], index * 4);
  }
}

/** From the anchor to the pill's lower left corner, CSS pixels, y up. */
function offsetOf(anchor: Label['anchor'], width: number, height: number): [number, number] {
  const centred = -width / 2;
  const [left, right] = [-width - GAP_px, GAP_px];
  const dx = { above: centred, corner: 0, end: left, beside: left, after: right, below: centred }[anchor];
  const level = -height / 2;
  const dy = { above: GAP_px, corner: GAP_px, end: GAP_px, beside: level, after: level, below: -GAP_px - height }[anchor];
  return [dx, dy];
}
