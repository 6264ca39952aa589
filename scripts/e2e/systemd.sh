#!/usr/bin/env bash
# Tests Enginehouse as services under a real systemd: do they start, survive kill -9 and a reboot, and uninstall cleanly?
#
# systemd is PID 1 of a container of systemd-nspawn, which shares the host's network. Run it as root on Debian or Ubuntu.
# It takes a minute the first time, and leaves only the folder W (default: a new one under /tmp).
set -euo pipefail
REPO=$(cd "$(dirname "$0")/../.." && pwd)
W=${W:-$(mktemp -d /tmp/enginehouse-systemd.XXXX)}
mkdir -p "$W"
R=$W/root TARGET=/srv/enginehouse PORT=${PORT:-18000} MANAGER_PORT=${MANAGER_PORT:-18100}
URL=http://127.0.0.1:$PORT BEGAN=$(date +%s) NS=

say() { printf '[%3ds] %s\n' "$(($(date +%s) - BEGAN))" "$*"; }
fail() { say "FAILED: $*"; tail -n 20 "$R$TARGET"/data/logs/*.log "$W/nspawn.log" 2>/dev/null || true; exit 1; }
within() { # within SECONDS WHAT COMMAND...: wait until the command succeeds
    local seconds=$1 what=$2; shift 2
    for _ in $(seq $((seconds * 10))); do "$@" && return; sleep 0.1; done
    fail "never: $what"
}
inside() { nsenter -t "$LEADER" -m -u -i -p -C -- "$@"; }
control() { inside env -C "$TARGET" PATH=/usr/bin:/bin:/usr/sbin:/sbin GATEWAY_PORT="$PORT" MANAGER_PORT="$MANAGER_PORT" \
    ENGINEHOUSE_CONFIG="$TARGET/fake.yaml" .venv/bin/python -m scripts.control "$@"; }
ready() { curl -fs --noproxy '*' -m 2 "$URL/ready" >/dev/null; }
closed() { ! curl -s --noproxy '*' -m 2 "$URL/healthz" >/dev/null; }
chat() { curl -fs --noproxy '*' -m 30 -H 'content-type: application/json' "$URL/v1/chat/completions" \
    -d '{"model": "fake", "messages": [{"role": "user", "content": "hello"}]}' | grep -o '"content":[^}]*'; }
unit() { inside systemctl show -p "$2" --value "enginehouse-$1.service"; }
workers() { inside pgrep -fc -- '-m workers --socket' || true; }

booted() { # nspawn soon replaces its first child: look the leader up again until systemd answers
    LEADER=$(pgrep -P "$NS" | head -n 1) || return 1
    case $(inside systemctl is-system-running 2>/dev/null || true) in running | degraded) ;; *) return 1 ;; esac
}
boot() { # no machined to register with, no host unit to move into
    setsid systemd-nspawn --boot --register=no --keep-unit --link-journal=no --resolv-conf=replace-host \
        -D "$R" --machine=enginehouse --console=read-only >>"$W/nspawn.log" 2>&1 </dev/null &
    NS=$!
    within 60 "systemd has booted" booted
}
gone() { ! kill -0 "$NS" 2>/dev/null; }
power_off() { inside systemctl poweroff || true; within 60 "powered off" gone; NS=; }
trap '[ -z "$NS" ] || kill "$NS" 2>/dev/null || true' EXIT

make_root() {
    { command -v mmdebstrap && command -v systemd-nspawn; } >/dev/null ||
        { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq systemd-container mmdebstrap curl >/dev/null; }
    [ -d "$R/etc" ] || mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Date "false"' \
        --include=systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,curl,procps \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' bookworm "$R"
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$R/etc/pip.conf"
    rm -rf "${R:?}$TARGET"
    git clone --quiet "$REPO" "$R$TARGET"
    printf 'models: [{id: fake, engine: fake}]\nmanager: {standby: 0}\nmemory: {safety_margin_gb: 0.2}\n' >"$R$TARGET/fake.yaml"
}
install_python() {
    inside useradd --system --create-home enginehouse 2>/dev/null || true
    inside env -C "$TARGET" python3 -m venv .venv
    local pip_variables; mapfile -t pip_variables < <(env | grep '^PIP_' || true)
    inside env -C "$TARGET" "${pip_variables[@]}" .venv/bin/pip install -qq -c requirements.lock --editable '.[gateway,manager]'
    inside chown -R enginehouse:enginehouse "$TARGET"
}

make_root
say "a root file system, $(du -sm "$R" | cut -f1) MB"
boot
install_python
say "systemd is PID 1, Enginehouse is in $TARGET and belongs to the user enginehouse"

control install
control install # again: this must change nothing
within 30 "ready after install" ready
say "installed: manager $(unit manager ActiveState), gateway $(unit gateway ActiveState), as user $(unit manager User)"
say "chat answers $(chat)"
[ "$(workers)" -ge 1 ] || fail "no worker runs"

PID=$(unit manager MainPID)
inside kill -9 "$PID"
restarted() { [ "$(unit manager MainPID)" != "$PID" ] && [ "$(unit manager ActiveState)" = active ]; }
none_left() { [ "$(workers)" = 0 ]; }
within 5 "the killed manager's worker is gone" none_left
within 30 "the manager was started again" restarted
within 30 "ready after kill -9" ready
say "kill -9 of manager $PID: its worker ended, restarts $(unit manager NRestarts), chat answers $(chat)"

inside systemctl reload enginehouse-manager
control stop
[ "$(unit manager ActiveState)-$(unit gateway ActiveState)" = inactive-inactive ] || fail "stop left something active"
none_left || fail "stop left workers"
control start
say "stopped and started with scripts.control: $(unit manager ActiveState)"

power_off
closed || fail "a program still answers"
boot
within 60 "ready after a reboot" ready
say "the services started after a reboot, chat answers $(chat)"

control uninstall
within 10 "the port is closed" closed
[ ! -e "$R/etc/systemd/system/enginehouse-manager.service" ] || fail "the unit is still there"
inside systemctl list-units --all 'enginehouse*' --no-legend | grep . && fail "systemd still knows a unit"
power_off
say "uninstalled; all checks passed"
