/** Of the tensor under the pointer, or else of the chosen one: what feeds it and what it feeds, and brackets that name its axes. */

import { Group, type PerspectiveCamera } from 'three';
import type { TensorInfo } from '../data/types';
import type { Label, Layout } from '../layout/boxes';
import { dimensionMarks, sizesOf, type Marks, type ModelSizes } from '../layout/dimensions';
import { feedLines } from '../layout/feeds';
import { Lines } from './lines';
import type { SceneTheme } from './theme';

/** Texts that the labels' atlas keeps room for. */
const MOST_TEXTS = 160;

export class DimensionMarks {
  readonly group = new Group();
  private readonly layout: Layout;
  private readonly tensors: readonly TensorInfo[];
  private readonly sizes: ModelSizes;
  private theme: SceneTheme;
  private lines: Lines | null = null;
  private marked = -1;

  constructor(layout: Layout, tensors: readonly TensorInfo[], theme: SceneTheme) {
    this.layout = layout;
    this.tensors = tensors;
    this.sizes = sizesOf(tensors);
    this.theme = theme;
  }

  /** Every label that may be asked for, each text once. */
  get vocabulary(): Label[] {
    const texts = new Map<string, Label>();
    for (const box of this.layout.boxes) {
      if (texts.size >= MOST_TEXTS) break;
      for (const label of dimensionMarks([], box, this.tensors[box.tensor]!, this.sizes).labels) texts.set(label.text, label);
    }
    return [...texts.values()];
  }

  /** The labels to show for a plate (-1: none), or null if it is marked already. */
  mark(plate: number): Label[] | null {
    if (plate === this.marked) return null;
    this.marked = plate;
    const box = this.layout.boxes[plate];
    const marks: Marks = box
      ? dimensionMarks(this.layout.boxes, box, this.tensors[box.tensor]!, this.sizes)
      : { lines: [], labels: [] };
    this.clear();
    const lines = box ? [...feedLines(this.layout, box.tensor), ...marks.lines] : [];
    if (lines.length > 0) {
      this.lines = new Lines(lines, this.theme);
      this.lines.mesh.renderOrder = 2;
      this.group.add(this.lines.mesh);
    }
    return marks.labels;
  }

  paint(theme: SceneTheme): void {
    this.theme = theme;
    this.lines?.paint(theme);
  }

  setView(camera: PerspectiveCamera, height_px: number): void {
    this.lines?.setView(camera, height_px);
  }

  dispose(): void {
    this.clear();
  }

  private clear(): void {
    if (!this.lines) return;
    this.group.remove(this.lines.mesh);
    this.lines.dispose();
    this.lines = null;
  }
}
