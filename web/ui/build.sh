#!/usr/bin/env bash
# Builds the page into web/static. Quick when nothing changed; needs npm, and Node.js 20.19 or newer.
# With an argument it runs that npm script instead, such as `test`.
set -euo pipefail
cd "$(dirname "$0")"

script=${1:-build}
sources() { find src test index.html package.json package-lock.json .npmrc tsconfig.json vite.config.ts -type f -print0 | sort -z | xargs -0 sha256sum; }
stamp=../static/.sources-sha256
want=$(sources | sha256sum | cut -d' ' -f1)
[ "$script" = build ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

if ! command -v npm >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
    else
        echo "The page needs npm to be built: install Node.js 20.19 or newer. Without it the worker answers / with its list of routes." >&2
        exit 1
    fi
fi
new_enough() { "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(+a > 20 || (+a === 20 && +b >= 19) ? 0 : 1)' 2>/dev/null; }
node=node
if ! new_enough "$node"; then
    # Debian 12 has Node.js 18; the tests' browser driver brings a newer one along.
    node=$(ls ../../.venv/lib/python3*/site-packages/playwright/driver/node 2>/dev/null | head -n 1 || true)
    if [ -z "$node" ] || ! new_enough "$node"; then
        echo "The page needs Node.js 20.19 or newer to be built, and $(node --version 2>/dev/null || echo none) is here. Without it the worker answers / with its list of routes." >&2
        exit 1
    fi
fi

lock=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ ! -f node_modules/.lock-sha256 ] || [ "$(cat node_modules/.lock-sha256)" != "$lock" ]; then
    npm ci --ignore-scripts --no-audit --no-fund --silent
    echo "$lock" > node_modules/.lock-sha256
fi
case "$script" in
    build)
        "$node" node_modules/vite/bin/vite.js build --logLevel warn
        echo "$want" > "$stamp"
        ;;
    check) "$node" node_modules/typescript/bin/tsc --noEmit ;;
    test) "$node" node_modules/vitest/vitest.mjs run --reporter=dot ;;
    *)
        echo "usage: $0 [build|check|test]" >&2
        exit 2
        ;;
esac
