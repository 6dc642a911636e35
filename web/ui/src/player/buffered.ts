/** Seconds of playable media after the playhead. */
export function bufferedAhead(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    // Half a frame of tolerance: after a seek the playhead may stand just before the range.
    if (buffered.start(i) - 0.02 <= currentTime && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}
