#!/usr/bin/env bash
# Draws an image with a running server: ./scripts/test-image-gen.sh [PROMPT [FILE]]
# GATEWAY_URL says where it is, GATEWAY_API_KEY is its key. MODEL, SIZE and STEPS choose what is drawn; without MODEL, the
# server's default model draws.
set -euo pipefail
gateway=${GATEWAY_URL:-http://localhost:${GATEWAY_PORT:-8000}}
prompt=${1:-a cat in space}
file=${2:-image.png}
python=$(command -v python3)

body=$("$python" -c '
import json, os, sys
fields = {"prompt": sys.argv[1], "model": os.environ.get("MODEL"), "size": os.environ.get("SIZE"), "steps": os.environ.get("STEPS")}
print(json.dumps({name: int(value) if name == "steps" and value.isdigit() else value for name, value in fields.items() if value}))
' "$prompt")
echo "POST $gateway/v1/images/generations $body"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
if ! curl -sS --fail-with-body --max-time 900 -o "$answer" -H 'Content-Type: application/json' \
  -H "Authorization: Bearer ${GATEWAY_API_KEY:-none}" -d "$body" "$gateway/v1/images/generations"; then
  if [ -s "$answer" ]; then echo "FAILED: $(cat "$answer")"; else echo "FAILED: no server answers. Run \`make start\`."; fi
  exit 1
fi
"$python" -c '
import base64, json, pathlib, sys
answer = json.load(open(sys.argv[1]))
pathlib.Path(sys.argv[2]).write_bytes(base64.b64decode(answer["data"][0]["b64_json"]))
print("%s: %.1f s, seed %d" % (sys.argv[2], answer["usage"]["latency"], answer["usage"]["seed"]))
' "$answer" "$file"
