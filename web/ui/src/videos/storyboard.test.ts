import { expect, test } from 'vitest';
import { parseStoryboard, shotAt } from './storyboard';

const TEXT = `WEBVTT

00:00:00.000 --> 00:00:04.000
0192/storyboard/0.jpg#xywh=0,0,160,90

00:00:04.000 --> 01:00:08.500
0192/storyboard/1.jpg#xywh=160,90,160,90

00:00:09.000 --> 00:00:10.000
no place
`;
const shots = parseStoryboard(TEXT, 'https://nova.example/vod/name/storyboard.vtt');

test('a cue names a place on a sheet beside the storyboard', () => {
  expect(shots).toEqual([
    { start: 0, end: 4, sheet: 'https://nova.example/vod/name/0192/storyboard/0.jpg', x: 0, y: 0, width: 160, height: 90 },
    { start: 4, end: 3608.5, sheet: 'https://nova.example/vod/name/0192/storyboard/1.jpg', x: 160, y: 90, width: 160, height: 90 },
  ]);
});

test('each time has the last picture that has begun', () => {
  expect([-1, 0, 3.9, 4, 9999].map((at) => shots.indexOf(shotAt(shots, at)!))).toEqual([0, 0, 0, 1, 1]);
  expect(shotAt([], 3)).toBeNull();
});
