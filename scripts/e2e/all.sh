#!/usr/bin/env bash
# Runs the tests of this folder, which need root on Debian or Ubuntu; elsewhere it says so, and does nothing.
set -euo pipefail
cd "$(dirname "$0")"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Skipped: systemd.sh and docker.sh need root on Debian or Ubuntu."
    exit 0
fi
for script in systemd.sh docker.sh; do
    echo "== scripts/e2e/$script"
    "./$script"
done
