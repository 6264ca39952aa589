"""llama.cpp's own HTTP server from the prebuilt wheel of xllamacpp, where the program `llama-server` is not installed.

Runs in an environment that has only that package. Arguments are those of `llama-server` that the tests use.
"""

import argparse
import signal
import threading

import xllamacpp

parser = argparse.ArgumentParser()
for option in ("--host", "--model", "--api-key"):
    parser.add_argument(option, required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ctx-size", type=int, default=0)
parser.add_argument("--jinja", action="store_true")
arguments = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = arguments.model
params.hostnames, params.port, params.api_keys = [arguments.host], arguments.port, [arguments.api_key]
params.n_ctx, params.use_jinja, params.warmup = arguments.ctx_size, arguments.jinja, False
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
ended.wait()
