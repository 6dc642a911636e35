/** The viewer's volume, kept on this device. Storage may be refused (private mode, embedding): then it lasts for the page. */

export interface SoundChoice {
  volume: number;
  muted: boolean;
}

const KEY = 'nova.sound';

export function recallSound(): SoundChoice {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? 'null') as Partial<SoundChoice> | null;
    const volume = kept?.volume;
    return {
      volume: typeof volume === 'number' && volume >= 0 && volume <= 1 ? volume : 1,
      muted: kept?.muted === true,
    };
  } catch {
    return { volume: 1, muted: false };
  }
}

export function keepSound(choice: SoundChoice): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // See above.
  }
}
