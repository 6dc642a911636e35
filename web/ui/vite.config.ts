import { svelte } from '@sveltejs/vite-plugin-svelte';
import { loadEnv } from 'vite';
import { defineConfig } from 'vitest/config';

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  build: {
    // Browsers with MSE or ManagedMediaSource from the last few years; older ones cannot play low-latency HLS anyway.
    target: ['es2022', 'safari15.4'],
    // Nothing is inlined as a data: URI: every asset is a hashed file that the server marks immutable.
    assetsInlineLimit: 0,
    // hls.js is one chunk of about 500 kB by nature.
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      output: { manualChunks: (id) => (id.includes('/node_modules/hls.js/') ? 'hls' : undefined) },
    },
  },
  server: {
    // `npm run dev` beside a running server: pages from Vite, media and API from Nova.
    proxy: Object.fromEntries(
      // `/api/docs` is a page.
      ['^/api/(?!docs$)', '/live', '/time'].map((path) => [path, loadEnv(mode, '.', 'NOVA_')['NOVA_URL'] ?? 'http://127.0.0.1:8080']),
    ),
  },
  test: { include: ['src/**/*.test.ts'] },
}));
