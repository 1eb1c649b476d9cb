/** Labels as dark pills: texts drawn once into one atlas, shown as instanced quads of constant screen size. */

import {
  BufferAttribute,
  CanvasTexture,
  DynamicDrawUsage,
  GLSL3,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  LinearFilter,
  Mesh,
  ShaderMaterial,
  Vector2,
  type PerspectiveCamera,
} from 'three';
import { Vector3 } from 'three';
import type { Label } from '../layout/boxes';
import { toCss } from '../layout/colour';
import { placeLabels, type LabelCandidate } from '../layout/labels';
import { LABEL_FRAGMENT, LABEL_VERTEX } from './shaders';

const ATLAS_WIDTH = 1024;
const MOST_ATLAS_HEIGHT = 2048;
const MOST_SHOWN = 400;
const FONTS: Record<Label['tone'], string> = {
  title: '600 12px "Inter Variable", sans-serif',
  plain: '500 11px "Inter Variable", sans-serif',
};
const PAD_X = 6;
const HEIGHT_px: Record<Label['tone'], number> = { title: 20, plain: 17 };
const GAP_px = 3;
/** What is smaller than this on screen goes without a name, however short that is. */
const LEAST_SPAN_px = 28;
/** Labels up to this priority name main parts and are kept also where these are small. */
const MAIN_PRIORITY = 4;

/** A label, or one of its two forms: of all that are seen, either the whole or the short ones are shown. */
interface Entry extends Label {
  form: 'only' | 'whole' | 'short';
}

/** Where one label has less room than three times its own height, all give way to their short forms. */
const ROOMY_px = 60;

function withShort(label: Label): Entry[] {
  if (label.short === undefined) return [{ ...label, form: 'only' }];
  return [
    { ...label, form: 'whole' },
    { ...label, text: label.short, tone: 'plain', form: 'short' },
  ];
}

interface Glyph {
  /** atlas texels */
  x: number;
  y: number;
  width: number;
  height: number;
}

export class Labels {
  readonly mesh: Mesh<InstancedBufferGeometry, ShaderMaterial>;
  readonly bytes: number;
  private readonly labels: readonly Entry[];
  /** What is named for the moment, over everything else. */
  private passing: readonly Entry[] = [];
  private readonly glyphs = new Map<string, Glyph>();
  private readonly texture: CanvasTexture;
  private readonly ratio: number;
  private readonly anchors = new Float32Array(MOST_SHOWN * 3);
  private readonly rects = new Float32Array(MOST_SHOWN * 4);
  private readonly atlas = new Float32Array(MOST_SHOWN * 4);

  /** `ratio`: device pixels per CSS pixel. `passing`: all that `showPassing` may be given. */
  constructor(labels: readonly Label[], ratio: number, passing: readonly Label[] = []) {
    // Each label and its short form are two entries; which of them is placed depends on the distance.
    this.labels = labels.flatMap(withShort).sort((a, b) => a.priority - b.priority);
    this.ratio = ratio;
    const canvas = this.drawAtlas([...passing.flatMap(withShort), ...this.labels]);
    this.bytes = canvas.width * canvas.height * 4;
    this.texture = new CanvasTexture(canvas);
    this.texture.minFilter = LinearFilter;
    this.texture.magFilter = LinearFilter;
    this.texture.generateMipmaps = false;
    this.texture.flipY = false;
    this.texture.premultiplyAlpha = true;
    const geometry = new InstancedBufferGeometry();
    const corners = new Float32Array([-0.5, -0.5, 0, 0.5, -0.5, 0, 0.5, 0.5, 0, -0.5, 0.5, 0]);
    geometry.setAttribute('position', new BufferAttribute(corners, 3));
    geometry.setIndex([0, 1, 2, 0, 2, 3]);
    for (const [name, array, size] of [
      ['iAnchor', this.anchors, 3],
      ['iRect_px', this.rects, 4],
      ['iAtlas', this.atlas, 4],
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
      uniforms: { uAtlas: { value: this.texture }, uViewport_px: { value: new Vector2(1, 1) } },
    });
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 10;
  }

  /** Chooses and places the labels for this camera; sizes in CSS pixels. */
  place(camera: PerspectiveCamera, width_px: number, height_px: number): void {
    const candidates: (LabelCandidate & { form: Entry['form'] })[] = [];
    let isTight = false;
    const at = new Vector3();
    const projected = camera.projectionMatrix.clone().multiply(camera.matrixWorldInverse);
    const toView = camera.matrixWorldInverse.elements;
    const pixelsPerUnit = (depth: number) => (height_px / 2) * (camera.projectionMatrix.elements[5]! / depth);
    const labels = [...this.passing, ...this.labels];
    labels.forEach((label, id) => {
      const glyph = this.glyphs.get(keyOf(label));
      if (!glyph) return;
      at.set(label.x, label.y, label.z ?? 0);
      const depth = -(toView[2]! * at.x + toView[6]! * at.y + toView[10]! * at.z + toView[14]!);
      if (depth <= 0) return;
      at.applyMatrix4(projected);
      if (Math.abs(at.x) > 1.1 || Math.abs(at.y) > 1.1) return;
      const [width, height] = [glyph.width / this.ratio, glyph.height / this.ratio];
      const span_px = label.span * pixelsPerUnit(depth);
      const needed_px = label.priority <= MAIN_PRIORITY ? height * 0.9 : Math.min(Math.max(width * 0.72, LEAST_SPAN_px), 44);
      if (label.form === 'whole' && span_px < ROOMY_px) isTight = true;
      if (span_px < needed_px) return;
      const x = (at.x * 0.5 + 0.5) * width_px;
      const y = (0.5 - at.y * 0.5) * height_px;
      const [dx, dy] = offsetOf(label.anchor, width, height);
      const { form, priority } = label;
      candidates.push({ id, form, left: x + dx, top: y - dy - height, width, height, priority });
    });
    const unwanted = isTight ? 'whole' : 'short';
    const wanted = candidates.filter(({ form }) => form !== unwanted);
    const shown = placeLabels(wanted).slice(0, MOST_SHOWN);
    this.write(shown.map((id) => labels[id]!), width_px, height_px);
  }

  /** Labels for the moment; seen from the next `place` on. */
  showPassing(labels: readonly Label[]): void {
    this.passing = labels.flatMap(withShort);
  }

  dispose(): void {
    this.texture.dispose();
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }

  private write(shown: readonly Entry[], width_px: number, height_px: number): void {
    const { image } = this.texture as { image: HTMLCanvasElement };
    shown.forEach((label, index) => {
      const glyph = this.glyphs.get(keyOf(label))!;
      const [dx, dy] = offsetOf(label.anchor, glyph.width / this.ratio, glyph.height / this.ratio);
      this.anchors.set([label.x, label.y, label.z ?? 0], index * 3);
      this.rects.set([dx * this.ratio, dy * this.ratio, glyph.width, glyph.height], index * 4);
      this.atlas.set(
        [glyph.x / image.width, glyph.y / image.height, glyph.width / image.width, glyph.height / image.height],
        index * 4,
      );
    });
    const { geometry } = this.mesh;
    geometry.instanceCount = shown.length;
    for (const name of ['iAnchor', 'iRect_px', 'iAtlas']) geometry.getAttribute(name).needsUpdate = true;
    (this.mesh.material.uniforms.uViewport_px!.value as Vector2).set(width_px * this.ratio, height_px * this.ratio);
  }

  /** Every text once, in order of priority, until the atlas is full. */
  private drawAtlas(labels: readonly Entry[]): HTMLCanvasElement {
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d')!;
    let [x, y, rowHeight] = [0, 0, 0];
    for (const label of labels) {
      const key = keyOf(label);
      if (this.glyphs.has(key)) continue;
      context.font = FONTS[label.tone];
      const width = Math.ceil((context.measureText(label.text).width + 2 * PAD_X) * this.ratio);
      const height = Math.ceil(HEIGHT_px[label.tone] * this.ratio);
      if (width > ATLAS_WIDTH * this.ratio) continue;
      if (x + width > ATLAS_WIDTH * this.ratio) {
        y += rowHeight + 1;
        [x, rowHeight] = [0, 0];
      }
      if (y + height > MOST_ATLAS_HEIGHT) break;
      this.glyphs.set(key, { x, y, width, height });
      x += width + 1;
      rowHeight = Math.max(rowHeight, height);
    }
    canvas.width = ATLAS_WIDTH * this.ratio;
    canvas.height = Math.max(y + rowHeight, 1);
    const drawn = new Set<string>();
    for (const label of labels) {
      const key = keyOf(label);
      const glyph = this.glyphs.get(key);
      if (!glyph || drawn.has(key)) continue;
      drawn.add(key);
      drawPill(context, label, glyph, this.ratio);
    }
    return canvas;
  }
}

const keyOf = (label: Label) => `${label.tone} ${label.hue?.join() ?? ''} ${label.text}`;

/** From the anchor to the pill's lower left corner, CSS pixels, y up. */
function offsetOf(anchor: Label['anchor'], width: number, height: number): [number, number] {
  const centred = -width / 2;
  const [left, right] = [-width - GAP_px, GAP_px];
  const dx = { above: centred, corner: 0, end: left, beside: left, after: right, below: centred }[anchor];
  const level = -height / 2;
  const dy = { above: GAP_px, corner: GAP_px, end: GAP_px, beside: level, after: level, below: -GAP_px - height }[anchor];
  return [dx, dy];
}

function drawPill(context: CanvasRenderingContext2D, label: Label, glyph: Glyph, ratio: number): void {
  const { x, y, width, height } = glyph;
  context.beginPath();
  context.roundRect(x, y, width, height, height / 2);
  context.fillStyle = 'rgba(13, 17, 25, 0.82)';
  context.fill();
  context.save();
  context.translate(x, y);
  context.scale(ratio, ratio);
  context.font = FONTS[label.tone];
  context.textBaseline = 'middle';
  context.fillStyle = label.hue ? toCss(label.hue) : label.tone === 'title' ? '#ffffff' : '#d5deea';
  context.fillText(label.text, PAD_X, HEIGHT_px[label.tone] / 2 + 0.5);
  context.restore();
}
