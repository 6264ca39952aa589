#!/usr/bin/env bash
# Tests the gateway in a real container with a manager on the host: does a chat request succeed, and does the gateway
# survive kill -9? Then all of Enginehouse in one container, as docs/installing.md runs it: does it read an image, and are
# its configuration and state still there after an upgrade? Needs root on Debian or Ubuntu, and a Python with our dependencies (PYTHON, default .venv/bin/python).
#
# Starts its own Docker engine with its data in the folder W. No image is downloaded: the base image that
# gateway/Dockerfile names is created from Debian's packages. Firewall and forwarding are restored at the end.
set -euo pipefail
REPO=$(cd "$(dirname "$0")/../.." && pwd)
cd "$REPO"
W=${W:-$(mktemp -d /tmp/enginehouse-docker.XXXX)}
mkdir -p "$W/server"
PYTHON=${PYTHON:-.venv/bin/python} BEGAN=$(date +%s)
export PATH=/usr/bin:$PATH DOCKER_HOST=unix://$W/docker.sock COMPOSE_PROJECT_NAME=enginehouse-e2e
export GATEWAY_PORT=${GATEWAY_PORT:-18200} MANAGER_PORT=${MANAGER_PORT:-18300}
export ENGINEHOUSE_CONFIG=$W/server/config.yaml ENGINEHOUSE_HOME=$W/server/data
URL=http://127.0.0.1:$GATEWAY_PORT DOCKERD='' MANAGER=''

say() { printf '[%3ds] %s\n' "$(($(date +%s) - BEGAN))" "$*"; }
fail() { say "FAILED: $*"; tail -n 20 "$W"/*.log 2>/dev/null || true; docker logs "$(gateway)" 2>&1 | tail -n 20; exit 1; }
within() { # within SECONDS WHAT COMMAND...: wait until the command succeeds
    local seconds=$1 what=$2; shift 2
    for _ in $(seq $((seconds * 10))); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    fail "never: $what"
}
gateway() { docker ps -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME"; }
chat() { curl -fs --noproxy '*' -m 30 -H 'content-type: application/json' "$URL/v1/chat/completions" \
    -d '{"messages": [{"role": "user", "content": "hello"}]}' | grep -o '"content":[^}]*'; }
ready() { curl -fs --noproxy '*' -m 2 "$URL/ready"; }

end() { # end a process that we started, and wait until it has ended
    [ -z "$1" ] && return
    kill "$1" 2>/dev/null || return 0
    while kill -0 "$1" 2>/dev/null; do sleep 0.1; done
}
tear_down() {
    set +e
    "$PYTHON" -m scripts.control docker-down >>"$W/compose.log" 2>&1
    end "$MANAGER"
    end "$DOCKERD"
    ip link delete docker0 2>/dev/null
    restore_firewall
    say "removed everything; $W has $(du -sm "$W" | cut -f1) MB"
}
restore_firewall() { # remove the tables with what Docker added, and restore the earlier rules
    iptables -P FORWARD ACCEPT
    for table in filter nat; do iptables -t $table -F; iptables -t $table -X; done
    iptables-restore <"$W/firewall"
    echo "$FORWARDING" >/proc/sys/net/ipv4/ip_forward
}

install_tools() {
    { command -v dockerd && command -v docker-compose && command -v mmdebstrap && command -v iptables; } >/dev/null && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io docker-compose mmdebstrap iptables curl iproute2 >/dev/null
}
start_docker() {
    iptables-save >"$W/firewall"
    FORWARDING=$(cat /proc/sys/net/ipv4/ip_forward)
    trap tear_down EXIT
    setsid dockerd --data-root "$W/images" --exec-root "$W/exec" --pidfile "$W/dockerd.pid" -H "$DOCKER_HOST" \
        >"$W/dockerd.log" 2>&1 </dev/null &
    DOCKERD=$!
    within 30 "dockerd answers" docker info
}
make_base_image() {
    [ -s "$W/base.tar" ] || mmdebstrap --quiet --variant=apt --include=python3,python3-pip,ca-certificates \
        --aptopt='Acquire::Check-Date "false"' --customize-hook='ln -sf python3 "$1/usr/bin/python"' \
        --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' bookworm "$W/base.tar"
    docker import -c 'ENV LANG=C.UTF-8' "$W/base.tar" python:3.11-slim >/dev/null
}
start_manager() {
    BRIDGE=$("$PYTHON" -c 'from scripts.control.container import bridge_address; print(bridge_address())')
    printf 'models: [{id: fake, engine: fake, default: [chat]}]\nmemory: {safety_margin_gb: 0.2}\n' >"$ENGINEHOUSE_CONFIG"
    MANAGER_LISTEN=127.0.0.1,$BRIDGE setsid "$PYTHON" -m manager >"$W/manager.log" 2>&1 </dev/null &
    MANAGER=$!
    within 30 "the manager is ready" curl -fs --noproxy '*' "http://127.0.0.1:$MANAGER_PORT/ready"
}

ALL_PORT=${ALL_PORT:-18400} ALL_URL=http://127.0.0.1:${ALL_PORT:-18400}
run_all() { docker run -d --name enginehouse --init --stop-timeout 75 -p "127.0.0.1:$ALL_PORT:8000" -v enginehouse:/data enginehouse; }
all_ready() { curl -fs --noproxy '*' -m 2 "$ALL_URL/ready"; }
read_image() { curl -fs --noproxy '*' -m 120 "$ALL_URL/v1/vision/ocr" -F image=@examples/sign.png | grep -o 'Open at nine'; }
test_all_of_it() { # the commands of docs/installing.md, with the engine that downloads no model
    docker build -f deploy/docker/Dockerfile --build-arg ENGINES=ocr -t enginehouse . >"$W/build.log" 2>&1 || fail "docker build"
    say "built the image with everything, $(docker image inspect enginehouse --format '{{.Size}}' | awk '{print int($1 / 1e6)}') MB"
    run_all >/dev/null
    within 60 "the container is ready" all_ready
    say "OCR in the container reads: $(read_image)"
    docker exec enginehouse enginehouse status | grep -q ocr || fail "status in the container"
    docker cp enginehouse:/data/config.yaml "$W/copied.yaml"
    sed -i 's/id: ocr/id: reader/' "$W/copied.yaml"
    docker cp "$W/copied.yaml" enginehouse:/data/config.yaml
    renamed() { docker exec enginehouse enginehouse models | grep -q reader; }
    within 30 "the copied configuration is in force" renamed
    docker rm -f enginehouse >/dev/null
    run_all >/dev/null
    within 60 "the new container is ready" all_ready
    renamed || fail "the volume lost the configuration"
    say "a changed configuration takes effect, and outlives the container; OCR reads: $(read_image)"
    docker rm -f enginehouse >/dev/null
}

install_tools
start_docker
say "$(docker info --format 'Docker {{.ServerVersion}}, storage {{.Driver}}')"
make_base_image
say "created the base image, $(du -m "$W/base.tar" | cut -f1) MB"
start_manager
say "the manager listens on 127.0.0.1 and $BRIDGE"
"$PYTHON" -m scripts.control docker-up >"$W/compose.log" 2>&1 || fail "docker-up: $(tail -n 5 "$W/compose.log")"
say "$(tail -n 1 "$W/compose.log")"
say "image $(docker image inspect enginehouse-gateway --format '{{.Size}}' | awk '{print int($1 / 1e6)}') MB; chat through the container answers $(chat)"

kill -9 "$(docker inspect --format '{{.State.Pid}}' "$(gateway)")"
restarted() { [ "$(docker inspect --format '{{.RestartCount}}' "$(gateway)")" -ge 1 ]; }
within 30 "Docker started it again" restarted
within 30 "ready after kill -9" ready
say "kill -9 of the gateway: restarts $(docker inspect --format '{{.RestartCount}}' "$(gateway)"), chat answers $(chat)"
test_all_of_it
say "all checks passed"
