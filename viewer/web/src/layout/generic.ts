/**
 * A model of unknown build: its module tree as nested headings, in the order of registration. What is
 * known is the tree and not the flow, so no ribbon claims that one module feeds the next.
 */

import type { TensorInfo } from '../data/types';
import { fitOf, rectOf, union, type Box, type Label, type Layout, type Line, type Region } from './boxes';
import { boxLabel } from './names';
import { groupByModule, makeUnit, moduleOf, placeUnit, type Unit } from './units';

const UNIT_GAP = 2.4;
const ROW_GAP = 3.2;
const HEADING = 4.6;
const SECTION_GAP = 6;
const GROUP_GAP = 4.2;
const GROUND_MARGIN = 1.2;

/** What one block repeats: a residual block, a cell. */
interface Group {
  title: string;
  units: Unit[];
}

interface Section {
  title: string;
  layer: number | null;
  groups: Group[];
}

const isNumber = (part: string) => /^\d+$/.test(part);

/** A heading for each block: the path down to its number, else the top-level module. */
export function sectionTitle(name: string): string {
  const parts = moduleOf(name).split('.');
  const numbered = parts.findIndex(isNumber);
  return parts.slice(0, numbered >= 0 ? numbered + 1 : 1).join('.');
}

/** What is numbered within a section: the path from there to the next number, "layers.2". */
function groupTitle(name: string, section: string): string {
  const parts = moduleOf(name).split('.').slice(section.split('.').length);
  const numbered = parts.findIndex(isNumber);
  return numbered >= 0 ? parts.slice(0, numbered + 1).join('.') : '';
}

/** The path that all numbered sections share, "resnet.encoder"; it says nothing on a heading. */
function sharedPath(paths: readonly string[]): string {
  const deep = [...new Set(paths)].map((path) => path.split('.')).filter((parts) => parts.length > 2);
  if (deep.length < 2) return '';
  // "stages.0", not "0": the last word before the number stays.
  const most = Math.min(...deep.map((parts) => parts.length)) - 2;
  let depth = 0;
  while (depth < most && deep.every((parts) => parts[depth] === deep[0]![depth])) depth += 1;
  return depth === 0 ? '' : `${deep[0]!.slice(0, depth).join('.')}.`;
}

function sectionsOf(tensors: readonly TensorInfo[]): Section[] {
  const sections: (Section & { path: string })[] = [];
  for (const tensors_ of groupByModule(tensors)) {
    const { name, layer } = tensors_[0]!;
    const path = sectionTitle(name);
    let section = sections.at(-1);
    if (!section || section.path !== path) {
      section = { path, title: path, layer, groups: [] };
      sections.push(section);
    }
    const title = groupTitle(name, path);
    let group = section.groups.at(-1);
    if (!group || group.title !== title) {
      group = { title, units: [] };
      section.groups.push(group);
    }
    group.units.push(makeUnit(tensors_));
  }
  const shared = sharedPath(sections.map((section) => section.path));
  for (const section of sections) {
    if (section.path.startsWith(shared)) section.title = section.path.slice(shared.length);
  }
  return sections;
}

/** Widths to try: from one that makes a square of the area up to one much wider. */
function lineWidths(sections: readonly Section[], aspect: number): number[] {
  let area = 0;
  let widest = 0;
  for (const unit of sections.flatMap(({ groups }) => groups.flatMap((group) => group.units))) {
    area += (unit.width + UNIT_GAP) * (unit.height + ROW_GAP + HEADING);
    widest = Math.max(widest, unit.width);
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

/** Lines of at most this length. */
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
    const wish = section.groups.reduce((sum, group) => sum + widthOf(group) + GROUP_GAP, 0);
    if (x > 0 && x + wish > limit) {
      top -= shelf + SECTION_GAP;
      x = 0;
      shelf = 0;
    }
    const placed = placeSection(section, x, top - HEADING, limit);
    boxes.push(...placed.boxes);
    lines.push(...placed.grounds);
    labels.push(...placed.labels);
    const rect = union(placed.boxes.map(rectOf));
    regions.push({ title: section.title, layer: section.layer, rect });
    labels.push({
      text: section.title,
      x: rect.left - GROUND_MARGIN,
      y: rect.top + (section.groups.some((group) => group.title !== '') ? HEADING : 1.6),
      priority: 1,
      span: Math.max(rect.right - rect.left, 12),
      anchor: 'corner',
      tone: 'title',
    });
    shelf = Math.max(shelf, top - rect.bottom);
    x = rect.right + SECTION_GAP;
  }
  const bounds = union(boxes.map(rectOf));
  const margin = GROUND_MARGIN;
  const core = {
    ...{ left: bounds.left - margin, right: bounds.right + margin, bottom: bounds.bottom - margin },
    top: bounds.top + HEADING,
  };
  return { boxes, lines, labels, regions, cloud: null, core, bounds: core };
}

const widthOf = ({ units }: Group) => units.reduce((sum, unit) => sum + unit.width + UNIT_GAP, -UNIT_GAP);

interface PlacedSection {
  boxes: Box[];
  labels: Label[];
  grounds: Line[];
}

/** Blocks beside each other, each on a ground of its own; a block longer than a line wraps within itself. */
function placeSection(section: Section, startX: number, startTop: number, limit: number): PlacedSection {
  const placed: PlacedSection = { boxes: [], labels: [], grounds: [] };
  const titled = section.groups.some((group) => group.title !== '');
  let x = startX;
  let top = startTop - (titled ? HEADING : 0);
  let height = 0;
  for (const group of section.groups) {
    if (x > startX && x + widthOf(group) > limit) {
      top -= height + ROW_GAP + (titled ? HEADING : 0);
      x = startX;
      height = 0;
    }
    const boxes: Box[] = [];
    let [at, rowTop, rowHeight] = [x, top, 0];
    for (const unit of group.units) {
      if (at > x && at + unit.width > limit) {
        rowTop -= rowHeight + ROW_GAP;
        [at, rowHeight] = [x, 0];
      }
      const own = placeUnit(unit, at, rowTop);
      boxes.push(...own);
      placed.labels.push(...own.map(boxLabel).filter((label) => label.text !== section.title));
      at += unit.width + UNIT_GAP;
      rowHeight = Math.max(rowHeight, unit.height);
    }
    const rect = union(boxes.map(rectOf));
    placed.boxes.push(...boxes);
    if (group.title !== '') {
      placed.grounds.push(ground(rect));
      placed.labels.push({
        text: group.title,
        ...{ x: rect.left - GROUND_MARGIN, y: rect.top + 1.6, priority: 3, span: (rect.right - rect.left) / 3 },
        ...{ anchor: 'corner', tone: 'plain' },
      });
    }
    height = Math.max(height, top - rect.bottom);
    x = rect.right + GROUP_GAP;
  }
  return placed;
}

function ground(rect: { left: number; right: number; bottom: number; top: number }): Line {
  const y = (rect.top + rect.bottom) / 2;
  return {
    kind: 'ground',
    points: [
      [rect.left - GROUND_MARGIN, y],
      [rect.right + GROUND_MARGIN, y],
    ],
    block: 'other',
    arrow: false,
    thickness: rect.top - rect.bottom + 2 * GROUND_MARGIN,
    from: [],
    to: [],
  };
}
