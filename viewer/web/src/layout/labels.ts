/** Which labels are shown: by priority, none over another. Screen pixels, y down. */

export interface LabelCandidate {
  /** index of the label */
  id: number;
  left: number;
  top: number;
  width: number;
  height: number;
  priority: number;
}

const CELL_PX = 48;

/** Greedy by priority on a grid of occupied cells; ids of what is shown, in that order. */
export function placeLabels(candidates: readonly LabelCandidate[], gap_px = 3): number[] {
  const sorted = [...candidates].sort((a, b) => a.priority - b.priority || a.id - b.id);
  const cells = new Map<number, LabelCandidate[]>();
  const shown: number[] = [];
  for (const label of sorted) {
    const keys = cellKeys(label, gap_px);
    const blocked = keys.some((key) => cells.get(key)?.some((other) => touch(label, other, gap_px)));
    if (blocked) continue;
    shown.push(label.id);
    for (const key of keys) {
      const cell = cells.get(key);
      if (cell) cell.push(label);
      else cells.set(key, [label]);
    }
  }
  return shown;
}

function cellKeys(label: LabelCandidate, gap_px: number): number[] {
  const keys: number[] = [];
  const x1 = Math.floor((label.left + label.width + gap_px) / CELL_PX);
  const y1 = Math.floor((label.top + label.height + gap_px) / CELL_PX);
  for (let y = Math.floor((label.top - gap_px) / CELL_PX); y <= y1; y += 1) {
    for (let x = Math.floor((label.left - gap_px) / CELL_PX); x <= x1; x += 1) keys.push(y * 65536 + x);
  }
  return keys;
}

function touch(a: LabelCandidate, b: LabelCandidate, gap_px: number): boolean {
  return (
    a.left < b.left + b.width + gap_px &&
    b.left < a.left + a.width + gap_px &&
    a.top < b.top + b.height + gap_px &&
    b.top < a.top + a.height + gap_px
  );
}
