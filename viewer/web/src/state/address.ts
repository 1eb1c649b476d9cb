/**
 * What is looked at, as the page's address: `?runs=ID,ID#i=120&tensor=1:NAME&camera=…&tab=loss`. A link opened
 * elsewhere shows the same. Only what differs from a fresh page stands in it. Pure: text in, text out.
 */

import type { Place } from '../layout/place';

export interface Address {
  /** ids, empty where none is named */
  runs: string[];
  /** null: the newest, followed */
  iteration: number | null;
  tensor: { view: number; name: string } | null;
  /** null: everything in sight */
  camera: Place | null;
  /** What other parts of the page keep in the address, by their keys. */
  rest: Record<string, string>;
}

export interface Decoded {
  address: Address;
  /** Keys whose values make no sense; they are left out. */
  ignored: string[];
}

export const NO_ADDRESS: Address = { runs: [], iteration: null, tensor: null, camera: null, rest: {} };

const MOST_CHARACTERS = 8000;
const MOST_ITERATION = Number.MAX_SAFE_INTEGER;
/** Farther than any model reaches. */
const MOST_UNITS = 1e6;
const NUMBER = /^-?\d{1,9}(\.\d{1,9})?$/;
const WHOLE = /^\d{1,16}$/;
const KEY = /^[a-z][a-z-]{0,30}$/;
const MOST_RUNS = 2;

export function encodeAddress({ runs, iteration, tensor, camera, rest }: Address): { search: string; hash: string } {
  const pairs: [string, string][] = [];
  if (iteration !== null) pairs.push(['i', String(iteration)]);
  if (tensor) pairs.push(['tensor', `${tensor.view + 1}:${tensor.name}`]);
  if (camera) pairs.push(['camera', cameraText(camera)]);
  for (const key of Object.keys(rest).sort()) pairs.push([key, rest[key]!]);
  const hash = pairs.map(([key, value]) => `${key}=${escaped(value)}`).join('&');
  return {
    search: runs.length > 0 ? `?runs=${runs.map(escaped).join(',')}` : '',
    hash: hash ? `#${hash}` : '',
  };
}

/** `known`: keys of `rest` that somebody reads. Whatever the text is, nothing is thrown. */
export function decodeAddress(search: string, hash: string, known: readonly string[]): Decoded {
  const address: Address = { ...NO_ADDRESS, rest: {} };
  const ignored: string[] = [];
  if (search.length + hash.length > MOST_CHARACTERS) return { address, ignored: ['all of it: it is too long'] };
  address.runs = (pairsOf(search.replace(/^\?/, '')).get('runs') ?? '').split(',').filter(Boolean).slice(0, MOST_RUNS);
  for (const [key, value] of pairsOf(hash.replace(/^#/, ''))) {
    if (!takeInto(address, key, value, known)) ignored.push(KEY.test(key) ? key : 'a part without a name');
  }
  return { address, ignored: [...new Set(ignored)] };
}

/** False if it makes no sense. */
function takeInto(address: Address, key: string, value: string, known: readonly string[]): boolean {
  switch (key) {
    case 'i':
      return (address.iteration = wholeOf(value)) !== null;
    case 'tensor':
      return (address.tensor = tensorOf(value)) !== null;
    case 'camera':
      return (address.camera = cameraOf(value)) !== null;
    default:
      if (known.includes(key)) address.rest[key] = value;
      return known.includes(key);
  }
}

/** The first value of each key counts. What cannot be unescaped is as it stands. */
function pairsOf(text: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const part of text.split('&').filter(Boolean)) {
    const at = part.indexOf('=');
    const [key, value] = at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
    if (!pairs.has(key)) pairs.set(key, unescaped(value));
  }
  return pairs;
}

/** Colons, commas and the like are kept, so that an address stays readable. */
function escaped(text: string): string {
  // Half a surrogate pair cannot be escaped.
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd')).replace(/%(3A|2C|2F|40)/g, (code) => decodeURIComponent(code));
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function wholeOf(text: string): number | null {
  const value = WHOLE.test(text) ? Number(text) : NaN;
  return value <= MOST_ITERATION ? value : null;
}

function tensorOf(text: string): Address['tensor'] {
  const [, view, name] = /^([12]):(.+)$/su.exec(text) ?? [];
  return view && name ? { view: Number(view) - 1, name } : null;
}

/** Rounded to what cannot be seen on a screen. */
function cameraText({ anchor, x, y, z, distance, yaw, pitch }: Place): string {
  const digits = Math.min(Math.max(4 - Math.floor(Math.log10(Math.max(distance, 1e-3))), 0), 6);
  const lengths = [x, y, z, distance].map((value) => String(Number(value.toFixed(digits))));
  return [anchor, ...lengths, ...[yaw, pitch].map((angle) => String(Number(angle.toFixed(4))))].join(',');
}

function cameraOf(text: string): Place | null {
  const [anchor, ...numbers] = text.split(',');
  if (numbers.length !== 6 || !numbers.every((number) => NUMBER.test(number))) return null;
  const [x, y, z, distance, yaw, pitch] = numbers.map(Number) as [number, number, number, number, number, number];
  if ([x, y, z, distance].some((value) => Math.abs(value) > MOST_UNITS) || distance <= 0) return null;
  if (Math.abs(yaw) > Math.PI || Math.abs(pitch) > Math.PI) return null;
  if (anchor === 'cloud') return { anchor, x, y, z, distance, yaw, pitch };
  return anchor && /^\d{1,6}$/.test(anchor) ? { anchor: Number(anchor), x, y, z, distance, yaw, pitch } : null;
}
