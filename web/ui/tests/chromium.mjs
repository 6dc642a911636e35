// Debian's Chromium under playwright-core, as every browser test starts it: fresh profile, no GPU, no background traffic.
import { chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--mute-audio',
  '--disable-dev-shm-usage',
];

/** `autoplay: false` keeps the browser's own rule: no sound before the first gesture. */
export function launchChromium({ autoplay = true } = {}) {
  return chromium.launch({
    executablePath: process.env.NOVA_CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: autoplay ? [...ARGS, '--autoplay-policy=no-user-gesture-required'] : [...ARGS, '--autoplay-policy=document-user-activation-required'],
    // Headless playwright allows sound by itself; without this the argument above is overruled.
    ignoreDefaultArgs: ['--autoplay-policy=user-gesture-required'],
  });
}
