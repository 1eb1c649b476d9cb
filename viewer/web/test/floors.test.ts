/** The order of the rooms: imports go down only, and the lower floors know no WebGL and no DOM library. */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { expect, test } from 'vitest';

const SOURCE = join(import.meta.dirname, '../src');

const MAY_IMPORT: Record<string, { rooms: string[]; packages: string[] }> = {
  data: { rooms: ['data'], packages: ['@msgpack/msgpack'] },
  layout: { rooms: ['data', 'layout'], packages: [] },
  state: { rooms: ['data', 'layout', 'state'], packages: [] },
  render: { rooms: ['data', 'layout', 'state', 'render'], packages: ['three'] },
  ui: { rooms: ['data', 'layout', 'state', 'render', 'ui'], packages: ['three', 'uplot', 'uplot/dist/uPlot.min.css'] },
};

const MOST_LINES = 400;

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const textOf = (name: string) => readFileSync(join(SOURCE, name), 'utf8');
const importsOf = (name: string) =>
  [...textOf(name).matchAll(/(?:from|import)\s+'([^']+)'/g)].map((match) => match[1]!);

test.each(Object.keys(MAY_IMPORT))('%s imports from its own floor and below only', (room) => {
  const { rooms, packages } = MAY_IMPORT[room]!;
  const inRoom = files.filter((name) => name.startsWith(`${room}/`));
  expect(inRoom.length).toBeGreaterThan(0);
  const wrong: string[] = [];
  for (const name of inRoom) {
    for (const target of importsOf(name)) {
      const isLocal = target.startsWith('.');
      const floor = relative('.', normalize(join(dirname(name), target))).split('/')[0]!;
      const allowed = isLocal ? rooms.includes(floor) : packages.includes(target);
      if (!allowed) wrong.push(`${name} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('no file is longer than one can read at a time', () => {
  const long = files.filter((name) => textOf(name).split('\n').length > MOST_LINES);
  expect(long).toEqual([]);
});

test('names from runs never become markup', () => {
  const markup = files.filter((name) => /innerHTML|outerHTML|insertAdjacentHTML|document\.write/.test(textOf(name)));
  expect(markup).toEqual([]);
});
