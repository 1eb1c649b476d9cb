import { expect, test } from 'vitest';
import { changedChoice, choiceAmong, FIRST_CHOICE, withToken } from '../src/state/cloudchoice';
import { initialState } from '../src/state/model';
import { reduce } from '../src/state/reducer';

const choosing = (...tokens: number[]) =>
  tokens.reduce((choice, token) => changedChoice(choice, withToken(choice, token)), FIRST_CHOICE);

test('a token is chosen once, and is the one whose neighbours are told', () => {
  expect(choosing(5, 9, 5)).toMatchObject({ tokens: [5, 9], focus: 5 });
});

test('a token too many lets go of the oldest, but of no more than that where a link has brought many', () => {
  expect(choosing(1, 2, 3, 4, 5, 6, 7).tokens).toEqual([2, 3, 4, 5, 6, 7]);
  const many = changedChoice(FIRST_CHOICE, { tokens: [1, 2, 3, 4, 5, 6, 7, 8] });
  expect(changedChoice(many, withToken(many, 9)).tokens).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
});

test('the focus is always a chosen token, the newest where its own was let go', () => {
  const choice = choosing(1, 2, 3);
  expect(changedChoice(choice, { focus: 99 }).focus).toBe(3);
  expect(changedChoice(choice, { tokens: [1, 2] }).focus).toBe(2);
  expect(changedChoice(choice, { tokens: [] }).focus).toBeNull();
});

test('what a link tells waits for the first runs', () => {
  const told = reduce(initialState('dark'), { type: 'cloud', cloud: { tokens: [4], projection: 'umap' } });
  expect(reduce(told, { type: 'selected', runs: ['a'] }).cloud).toBe(told.cloud);
});

test('tokens go with their run, and are forgotten with it; the colouring stays', () => {
  const choice = { ...choosing(4), view: 1, colouring: 'class' as const, projection: 'umap' };
  expect(choiceAmong(choice, ['a', 'b'], ['b', 'c'])).toEqual({ ...choice, view: 0 });
  expect(choiceAmong(choice, ['a', 'b'], ['a'])).toEqual({ ...FIRST_CHOICE, colouring: 'class' });
});
