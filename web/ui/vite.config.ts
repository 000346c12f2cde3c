import { defineConfig } from "vitest/config";

/** Built into the Python package. Names hold a hash of the content, so that they may be cached for ever. */
export default defineConfig({
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's policy allows no data: but in pictures
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8888", "/readyz": "http://127.0.0.1:8888", "/metrics": "http://127.0.0.1:8888" } },
  test: { environment: "node", include: ["test/**/*.test.ts"] },
});
