#!/usr/bin/env bash
# Installs the house under a real systemd, and looks: does it start, survive kill -9 and a reboot, and go away again?
#
# systemd is PID 1 of a container made with systemd-nspawn, which shares the host's network. Run it as root on Debian or
# Ubuntu; it needs a minute the first time, and leaves nothing but the folder W (default: a new one under /tmp).
set -euo pipefail
REPO=$(cd "$(dirname "$0")/../.." && pwd)
W=${W:-$(mktemp -d /tmp/enginehouse-systemd.XXXX)}
mkdir -p "$W"
R=$W/root PLACE=/srv/enginehouse PORT=${PORT:-18000} MANAGER_PORT=${MANAGER_PORT:-18100}
URL=http://127.0.0.1:$PORT BEGAN=$(date +%s) NS=

tell() { printf '[%3ds] %s\n' "$(($(date +%s) - BEGAN))" "$*"; }
fail() { tell "FAILED: $*"; tail -n 20 "$R$PLACE"/data/logs/*.log "$W/nspawn.log" 2>/dev/null || true; exit 1; }
within() { # within SECONDS WHAT COMMAND...: wait until the command succeeds
    local seconds=$1 what=$2; shift 2
    for _ in $(seq $((seconds * 10))); do "$@" && return; sleep 0.1; done
    fail "never: $what"
}
inside() { nsenter -t "$LEADER" -m -u -i -p -C -- "$@"; }
house() { inside env -C "$PLACE" PATH=/usr/bin:/bin:/usr/sbin:/sbin GATEWAY_PORT="$PORT" MANAGER_PORT="$MANAGER_PORT" \
    ENGINEHOUSE_CONFIG="$PLACE/fake.yaml" .venv/bin/python -m scripts.house "$@"; }
ready() { curl -fs --noproxy '*' -m 2 "$URL/ready" >/dev/null; }
deaf() { ! curl -s --noproxy '*' -m 2 "$URL/healthz" >/dev/null; }
chat() { curl -fs --noproxy '*' -m 30 -H 'content-type: application/json' "$URL/v1/chat/completions" \
    -d '{"model": "fake", "messages": [{"role": "user", "content": "hello"}]}' | grep -o '"content":[^}]*'; }
unit() { inside systemctl show -p "$2" --value "enginehouse-$1.service"; }
workers() { inside pgrep -fc -- '-m workers --socket' || true; }

booted() { # nspawn's first child is replaced soon: look the leader up anew until systemd answers
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
    command -v mmdebstrap systemd-nspawn >/dev/null ||
        { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq systemd-container mmdebstrap curl >/dev/null; }
    [ -d "$R/etc" ] || mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Date "false"' \
        --include=systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,curl,procps \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' bookworm "$R"
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$R/etc/pip.conf"
    rm -rf "${R:?}$PLACE"
    git clone --quiet "$REPO" "$R$PLACE"
    printf 'models: [{id: fake, engine: fake}]\nmanager: {standby: 0}\nmemory: {safety_margin_gb: 0.2}\n' >"$R$PLACE/fake.yaml"
}
install_python() {
    inside useradd --system --create-home house 2>/dev/null || true
    inside env -C "$PLACE" python3 -m venv .venv
    local given; mapfile -t given < <(env | grep '^PIP_' || true)
    inside env -C "$PLACE" "${given[@]}" .venv/bin/pip install -qq -c requirements.lock --editable '.[gateway,manager]'
    inside chown -R house:house "$PLACE"
}

make_root
tell "a root file system, $(du -sm "$R" | cut -f1) MB"
boot
install_python
tell "systemd is PID 1, the house is in $PLACE and belongs to the user house"

house install
house install # again: nothing is lost
within 30 "ready after install" ready
tell "installed: manager $(unit manager ActiveState), gateway $(unit gateway ActiveState), as user $(unit manager User)"
tell "chat says $(chat)"
[ "$(workers)" -ge 1 ] || fail "no worker runs"

PID=$(unit manager MainPID)
inside kill -9 "$PID"
restarted() { [ "$(unit manager MainPID)" != "$PID" ] && [ "$(unit manager ActiveState)" = active ]; }
none_left() { [ "$(workers)" = 0 ]; }
within 5 "the killed manager's worker is gone" none_left
within 30 "the manager was started again" restarted
within 30 "ready after kill -9" ready
tell "kill -9 of manager $PID: its worker went, restarts $(unit manager NRestarts), chat says $(chat)"

inside systemctl reload enginehouse-manager
house stop
[ "$(unit manager ActiveState)-$(unit gateway ActiveState)" = inactive-inactive ] || fail "stop left something active"
none_left || fail "stop left workers"
house start
tell "stopped and started through make's own program: $(unit manager ActiveState)"

power_off
deaf || fail "something still answers"
boot
within 60 "ready after a reboot" ready
tell "after a reboot it came back by itself, chat says $(chat)"

house uninstall
within 10 "nobody listens" deaf
[ ! -e "$R/etc/systemd/system/enginehouse-manager.service" ] || fail "the unit is still there"
inside systemctl list-units --all 'enginehouse*' --no-legend | grep . && fail "systemd still knows a unit"
power_off
tell "uninstalled; all went as it should"
