#!/bin/sh
# Chromium for the tests of the page: installed where this is a Debian and we may (root, or a CI's container). Anywhere
# else the tests say why they are skipped; nothing fails here.
set -u
for each in "${CHROMIUM:-}" chromium chromium-browser google-chrome chrome; do
    if [ -n "$each" ] && command -v "$each" >/dev/null 2>&1; then exit 0; fi
done
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "no Chromium: the tests of the page are skipped (install it, or name it: make test CHROMIUM=/path/to/chrome)" >&2
    exit 0
fi
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1
}
echo "installing Chromium for the tests of the page"
install || { apt-get update -qq >/dev/null 2>&1 && install; } ||
    echo "Chromium could not be installed: the tests of the page are skipped" >&2
exit 0
