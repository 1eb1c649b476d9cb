import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Relative addresses, so that the page works under any path prefix.
  base: './',
  build: {
    outDir: '../static',
    emptyOutDir: true,
    target: 'es2022',
    // The content security policy allows no data: fonts and no inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
  },
  test: { environment: 'node', include: ['test/**/*.test.ts'] },
});
