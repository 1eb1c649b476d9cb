/** Numbers, shapes and ages as people read them. */

const GROUPED = new Intl.NumberFormat('en-GB');

export function count(value: number): string {
  return GROUPED.format(value);
}

/** About five digits; NaN and inf by their names. */
export function number(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(3).replace('e+', 'e');
  if (Number.isInteger(value)) return count(value);
  return value.toPrecision(5).replace(/0+$/, '').replace(/\.$/, '');
}

/** Every digit that the stored value has. */
export function exact(value: number): string {
  return Number.isFinite(value) ? String(value) : number(value);
}

export function shape(extents: readonly number[]): string {
  return extents.length === 0 ? 'scalar' : extents.map(count).join(' × ');
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

export function age(seconds: number): string {
  const whole = Math.max(Math.round(seconds), 0);
  if (whole < 2) return 'now';
  if (whole < 90) return `${whole} s ago`;
  if (whole < 5400) return `${Math.round(whole / 60)} min ago`;
  if (whole < 172_800) return `${Math.round(whole / 3600)} h ago`;
  return `${Math.round(whole / 86_400)} days ago`;
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(0)} KB`;
  return `${(value / 1024 ** 2).toFixed(1)} MB`;
}

/** A token so that its spaces and line ends are seen. */
export function token(text: string): string {
  const shown = text.replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(/\r/g, '␍').replace(/ /g, '␣');
  // Other control characters have no picture of their own.
  return shown.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Index of each axis for a flat position in a tensor of this shape. */
export function indices(position: number, extents: readonly number[]): number[] {
  const result: number[] = [];
  let rest = position;
  for (let axis = extents.length - 1; axis >= 0; axis -= 1) {
    result.unshift(rest % extents[axis]!);
    rest = Math.floor(rest / extents[axis]!);
  }
  return result;
}
