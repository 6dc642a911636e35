// Somebody with an account: logs in, makes a passkey, adds a sign-in through a provider, logs in with either, uploads a video and watches it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launchChromium } from '../chromium.mjs';
import { axeFindings, DESKTOP, openPage } from '../pages.mjs';

// Cookies and passkeys belong to a host name.
const url = process.env.NOVA_URL?.replace(/\/$/, '').replace('127.0.0.1', 'localhost');
const skip = !url && 'needs a server';
const PASSWORD = 'a rather long phrase of mine';
let browser;
let folder;

async function post(path, body) {
  const answer = await fetch(`${url}/api/v1${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer;
}

async function mailedCode() {
  for (let i = 0; i < 100; i++) {
    for (const name of await readdir(process.env.MAIL_DIR).catch(() => [])) {
      if (!name.endsWith('verify-address.eml')) continue;
      const code = (await readFile(join(process.env.MAIL_DIR, name), 'utf8')).match(/^ {4}(\d{8})\r?$/m);
      if (code) return code[1];
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('no mail with a code');
}

before(async () => {
  if (skip) return;
  browser = await launchChromium();
  folder = await mkdtemp(join(tmpdir(), 'nova-upload-'));
  execFileSync('ffmpeg', [
    ...'-hide_banner -loglevel error -f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=frequency=440 -t 9'.split(' '),
    ...'-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac'.split(' '), join(folder, 'My film.mp4'),
  ]);
  execFileSync('ffmpeg', [...'-hide_banner -loglevel error -f lavfi -i testsrc2=size=800x600 -frames:v 1'.split(' '), join(folder, 'me.jpg')]);
  await post('/auth/register', { email: 'ada@example.org', username: 'ada', password: PASSWORD });
  await post('/auth/verify-email', { email: 'ada@example.org', code: await mailedCode() });
});
after(async () => {
  await browser?.close();
  if (folder) await rm(folder, { recursive: true });
});

test('a passkey and another sign-in open the account, and a film goes up and plays', { skip }, async () => {
  const { page, complaints, close } = await openPage(browser, DESKTOP, { quiet404: true });
  const devices = await page.context().newCDPSession(page);
  await devices.send('WebAuthn.enable');
  const { authenticatorId } = await devices.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  await page.goto(`${url}/login?next=/account`);
  await page.fill('input[name=email_or_username]', 'ada');
  await page.fill('input[name=password]', PASSWORD);
  await page.keyboard.press('Enter');
  page.on('dialog', (dialog) => void dialog.accept(dialog.type() === 'prompt' ? 'My laptop' : undefined));
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByText('My laptop opens your account from now on.').waitFor();
  assert.deepEqual(await axeFindings(page), []);

  // Somebody else's provider, with its own page; the font of that page is not on this machine.
  await page.route('https://fonts.googleapis.com/**', (route) => route.fulfill({ contentType: 'text/css', body: '' }));
  const atProvider = async (login) => {
    for (;;) {
      await page.waitForLoadState();
      if (new URL(page.url()).port === new URL(url).port) return;
      const field = page.locator('input[name=login]');
      if (await field.count()) {
        await field.fill(login);
        await page.fill('input[name=password]', 'x');
      }
      const left = page.waitForEvent('framenavigated');
      await page.locator('button[type=submit]').click();
      await left;
    }
  };
  await page.getByRole('button', { name: 'Add Op' }).click();
  await page.waitForURL('**/interaction/**');
  await atProvider('mallory');
  await page.getByText('alice@example.org, added').waitFor();
  assert.deepEqual(await axeFindings(page), []);

  await page.getByRole('button', { name: 'Log out' }).first().click();
  await page.waitForFunction(() => !document.cookie.includes('__Host-nova_csrf'));
  // Nobody touches the device: what the form offers is not picked.
  const touch = (enabled) => devices.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled });
  await touch(false);
  await page.goto(`${url}/login?next=/account`);
  await page.getByRole('link', { name: 'Log in with Op' }).click();
  await atProvider('mallory');
  await page.getByText('alice@example.org, added').waitFor();
  await touch(true);

  // What is sensitive asks who it is once more, as if the login was long ago: by whatever opens this account.
  let refusals = 2;
  await page.route('**/api/v1/auth/links/*', (route) => {
    if (refusals-- <= 0) return route.continue();
    const problem = { type: 'about:blank', title: 'Forbidden', status: 403, detail: 'prove who you are', code: 'sudo_required' };
    return route.fulfill({ status: 403, contentType: 'application/problem+json', body: JSON.stringify(problem) });
  });
  const remove = () => page.getByRole('listitem').filter({ hasText: 'alice@example.org' }).getByRole('button', { name: 'Remove' }).click();
  await remove();
  const dialog = page.getByRole('dialog', { name: 'Is it still you?' });
  await dialog.getByLabel('Password').waitFor();
  assert.deepEqual(await axeFindings(page), []);
  await dialog.getByRole('button', { name: 'Sign in with Op again' }).click();
  await page.waitForURL('**/interaction/**');
  await atProvider('mallory');
  await page.getByText('It is you.').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'no ticket stays in the address');
  await remove();
  await dialog.getByRole('button', { name: 'Use a passkey' }).click();
  await page.getByText('alice@example.org, added').waitFor({ state: 'detached' });
  await page.unroute('**/api/v1/auth/links/*');

  await page.getByRole('button', { name: 'Log out' }).first().click();
  await page.waitForFunction(() => !document.cookie.includes('__Host-nova_csrf'));
  // Among what the browser fills into the form: the device is touched by itself.
  const videos = (address) => address.pathname === '/account/videos';
  await page.goto(`${url}/login?next=/account/videos`);
  await page.waitForURL(videos);
  await page.getByRole('button', { name: 'Log out' }).first().click();
  await page.waitForFunction(() => !document.cookie.includes('__Host-nova_csrf'));
  // In a browser that fills nothing in, the button is pressed.
  await page.addInitScript(() => {
    PublicKeyCredential.isConditionalMediationAvailable = async () => false;
  });
  await page.goto(`${url}/login?next=/account/videos`);
  await page.getByRole('button', { name: 'Log in with a passkey' }).click();
  await page.waitForURL(videos);

  await page.locator('input[type=file]').setInputFiles(join(folder, 'My film.mp4'));
  await page.getByText(/^Ready ·/).waitFor({ timeout: 60_000 });
  assert.deepEqual(await axeFindings(page), []);
  await page.getByRole('link', { name: 'My film' }).click();
  await page.waitForURL('**/watch/v/*');
  await page.locator('video').evaluate((video) => video.play());
  await page.waitForFunction(() => document.querySelector('video').currentTime > 1 && document.querySelector('video').videoHeight === 180, undefined, { timeout: 20_000 });
  // Chromium complains of the 403 that this test itself answered.
  assert.deepEqual(complaints.filter((complaint) => !complaint.includes('403')), []);
  await close();
});

test('a picture is chosen, shown and removed on the profile page', { skip }, async () => {
  const { page, complaints, close } = await openPage(browser, DESKTOP, { quiet404: true });
  await page.goto(`${url}/login?next=/account`);
  await page.fill('input[name=email_or_username]', 'ada');
  await page.fill('input[name=password]', PASSWORD);
  await page.keyboard.press('Enter');
  for (const name of ['Your picture', 'Your banner']) {
    await page.getByLabel(name, { exact: true }).setInputFiles(join(folder, 'me.jpg'));
    await page.getByRole('button', { name: `Remove ${name.toLowerCase()}` }).waitFor();
  }
  await page.waitForFunction(() => [...document.querySelectorAll('img.avatar, img.banner')].filter((image) => image.naturalWidth > 0).length === 2);
  assert.deepEqual(await axeFindings(page), []);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true });
  await page.getByRole('button', { name: 'Remove your banner' }).click();
  await page.getByText('It is removed.').waitFor();
  const me = await (await fetch(`${url}/api/v1/users/ada`)).json();
  assert.deepEqual([me.avatar_url !== null, me.banner_url], [true, null]);
  assert.deepEqual(complaints, []);
  await close();
});
