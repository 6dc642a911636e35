import './site/base.css';
import { startEarly } from './player/early';
import { parseRoute } from './router';

const target = document.getElementById('app');
if (!target) throw new Error('index.html lacks #app');

// Before anything is drawn: a viewer who opens a stream waits for the picture, not for the page around it. The page is a chunk
// of its own, so that it travels meanwhile and its parsing and mounting come second.
const route = parseRoute(location.pathname);
const page = Promise.all([import('svelte'), import('./App.svelte')]);
if (route.page === 'watch' || route.page === 'embed') await startEarly(route.name, target, route.page === 'embed');

const [{ mount }, { default: App }] = await page;
mount(App, { target });
