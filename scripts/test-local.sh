#!/usr/bin/env bash
# Asks a running server whether its parts answer: ./scripts/test-local.sh
# GATEWAY_URL and MANAGER_URL say where it is, GATEWAY_API_KEY is its key.
set -u
gateway=${GATEWAY_URL:-http://localhost:${GATEWAY_PORT:-8000}}
manager=${MANAGER_URL:-http://localhost:${MANAGER_PORT:-8100}}
failures=0

check() { # name, URL
  local answer
  if answer=$(curl -sS --fail-with-body --max-time 30 -H "Authorization: Bearer ${GATEWAY_API_KEY:-none}" "$2" 2>&1); then
    echo "ok      $1"
  else
    echo "FAILED  $1 ($2): ${answer:0:300}"
    failures=$((failures + 1))
  fi
}

check "gateway" "$gateway/healthz"
check "manager" "$manager/health"
check "ready for requests" "$gateway/ready"
check "models" "$gateway/v1/models"
check "status" "$gateway/v1/system/status"
check "vision tasks" "$gateway/v1/vision/tasks"
if [ "$failures" -gt 0 ]; then
  echo "$failures of 6 failed. \`make status\` shows which programs run, \`make logs\` what they say."
  exit 1
fi
echo "All of it answers."
