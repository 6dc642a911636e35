import { mount } from 'svelte';
import './site/base.css';
import App from './App.svelte';
import { startEarly } from './player/early';
import { parseRoute } from './router';

// Before anything is drawn: a viewer who opens a stream waits for this, not for the page around it.
const route = parseRoute(location.pathname);
if (route.page === 'watch' || route.page === 'embed') startEarly(route.name);

const target = document.getElementById('app');
if (!target) throw new Error('index.html lacks #app');
mount(App, { target });
