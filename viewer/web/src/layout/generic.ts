/** A model of unknown build: modules in the order of its tree, set like lines of text under their headings. */

import type { TensorInfo } from '../data/types';
import { fitOf, rectOf, union, type Box, type Label, type Layout, type Line, type Region } from './boxes';
import { boxLabel } from './names';
import { groupByModule, makeUnit, moduleOf, placeUnit, type Unit } from './units';

const UNIT_GAP = 2.4;
const ROW_GAP = 3.2;
const HEADING = 4;
const SECTION_GAP = 5;

interface Section {
  title: string;
  layer: number | null;
  units: Unit[];
}

/** A heading for each block: the path down to its number, else the top-level module. */
export function sectionTitle(name: string): string {
  const parts = moduleOf(name).split('.');
  const numbered = parts.findIndex((part) => /^\d+$/.test(part));
  return parts.slice(0, numbered >= 0 ? numbered + 1 : 1).join('.');
}

function sectionsOf(tensors: readonly TensorInfo[]): Section[] {
  const groups = groupByModule(tensors);
  const sections: Section[] = [];
  for (const group of groups) {
    const title = sectionTitle(group[0]!.name);
    let last = sections.at(-1);
    if (!last || last.title !== title) {
      last = { title, layer: group[0]!.layer, units: [] };
      sections.push(last);
    }
    last.units.push(makeUnit(group));
  }
  return sections;
}

/** Widths to try: from one that makes a square of the area up to one much wider. */
function lineWidths(sections: readonly Section[], aspect: number): number[] {
  let area = 0;
  let widest = 0;
  for (const { units } of sections) {
    for (const unit of units) {
      area += (unit.width + UNIT_GAP) * (unit.height + ROW_GAP + HEADING);
      widest = Math.max(widest, unit.width);
    }
  }
  const even = Math.sqrt(area * aspect);
  return [0.8, 1, 1.2, 1.4, 1.7, 2, 2.5].map((factor) => Math.max(widest, even * factor));
}

/** Stacks the model's modules in tree order, in lines as long as fill the wished proportions best. */
export function genericLayout(tensors: readonly TensorInfo[], aspect: number): Layout {
  const sections = sectionsOf(tensors);
  const layouts = lineWidths(sections, aspect).map((limit) => layoutLines(sections, limit));
  const [first, ...others] = layouts;
  return others.reduce(
    (best, layout) => (fitOf(layout.bounds, aspect) > fitOf(best.bounds, aspect) ? layout : best),
    first!,
  );
}

/** Lines of at most this length; a thread at the left says which way the data goes. */
function layoutLines(sections: readonly Section[], limit: number): Layout {
  const boxes: Box[] = [];
  const labels: Label[] = [];
  const lines: Line[] = [];
  const regions: Region[] = [];
  let x = 0;
  let top = 0;
  let shelf = 0;
  for (const section of sections) {
    // A short section goes beside the one before it where there is room.
    const wish = section.units.reduce((sum, unit) => sum + unit.width + UNIT_GAP, 0);
    if (x > 0 && x + wish > limit) {
      top -= shelf + SECTION_GAP;
      x = 0;
      shelf = 0;
    }
    const placed = placeSection(section, x, top, limit);
    boxes.push(...placed.boxes);
    const rect = union(placed.boxes.map(rectOf));
    regions.push({ title: section.title, layer: section.layer, rect });
    labels.push({
      text: section.title,
      x: rect.left,
      y: rect.top + 1.6,
      priority: 1,
      span: Math.max(rect.right - rect.left, 8),
      anchor: 'corner',
      tone: 'title',
    });
    shelf = Math.max(shelf, top - rect.bottom);
    x = rect.right + SECTION_GAP;
  }
  for (const box of boxes) labels.push(boxLabel(box));
  const bounds = union(boxes.map(rectOf));
  lines.push({
    kind: 'flow',
    points: [
      [bounds.left - 4, bounds.top],
      [bounds.left - 4, bounds.bottom],
    ],
    block: 'other',
    arrow: true,
    thickness: 0.5,
    from: [],
    to: [],
  });
  const core = { ...bounds, left: bounds.left - 6, top: bounds.top + HEADING };
  return { boxes, lines, labels, regions, cloud: null, core, bounds: core };
}

function placeSection(section: Section, startX: number, top: number, limit: number): { boxes: Box[] } {
  const boxes: Box[] = [];
  let x = startX;
  let rowTop = top - HEADING;
  let rowHeight = 0;
  for (const unit of section.units) {
    if (x > startX && x + unit.width > limit) {
      x = startX;
      rowTop -= rowHeight + ROW_GAP;
      rowHeight = 0;
    }
    boxes.push(...placeUnit(unit, x, rowTop));
    x += unit.width + UNIT_GAP;
    rowHeight = Math.max(rowHeight, unit.height);
  }
  return { boxes };
}
