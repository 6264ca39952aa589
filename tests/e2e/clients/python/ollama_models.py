"""Downloads, lists and removes models with Ollama's client: URL of the server. Prints bytes, then JSON."""

import json
import sys

from ollama import Client, ResponseError

client = Client(host=sys.argv[1])
statuses = []
for part in client.pull("streamed", stream=True):
    statuses.append(part.status)
    print(part.completed or 0, flush=True)
results = {
    "statuses": [statuses[0], statuses[-1]],
    "whole": client.pull("hf.co/a/whole:latest").status,
    "models": sorted(model.model for model in client.list().models),
}
try:
    client.pull("a/missing")
except ResponseError as error:
    results["missing"] = error.error
results["deleted"] = [client.delete(name).status for name in ("streamed", "whole")]
try:
    client.delete("whole")
except ResponseError as error:
    results["again"] = error.status_code
results["left"] = [model.model for model in client.list().models]
print(json.dumps(results))
