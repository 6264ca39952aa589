"""A server of another make, as small as possible, for the engine `command`."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = r"""
import http.server, json, os, sys, time
if len(sys.argv) > 3:
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e5)"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        got = json.loads(body or b"{}")
        out = json.dumps({"got": got, "path": self.path, "auth": self.headers["authorization"]})
        self.send_response(200)
        if got.get("stream"):
            return self.half() if got.get("half") else self.stream(out, got.get("events", 0), got.get("size", 0))
        out += " " * (got.get("size", 0) - len(out))
        sent = got.get("sent", len(out))
        self.send_header("content-length", str(len(out))); self.end_headers()
        self.wfile.write(out[:sent].encode())
        self.close_connection = sent < len(out)
    def stream(self, out, events, size):
        self.send_header("content-type", "text/event-stream"); self.end_headers()
        for event in [out, *[json.dumps({"junk": "x" * size})] * events, "[DONE]"]:
            self.wfile.write(f"data: {event}\n\n".encode())
    def half(self):
        self.send_header("content-type", "text/event-stream"); self.end_headers()
        self.wfile.write(b'data: {"id"')
        time.sleep(1e5)
    do_GET = do_POST = answer
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def external_command(folder: Path) -> str:
    """A command line that starts the server. It reports what it gets, as events if the request sets `stream`.

    With one more argument, it also starts a process in a process group of its own. A request's `size` pads the answer
    to so many bytes, of which only `sent` are sent before the connection breaks. In streams, `events` more events of
    this size follow; with `half`, a stream is half an event, and does not end.
    """
    program = folder / "server.py"
    program.write_text(_PROGRAM)
    return f"python3 {program} ${{PORT}} ${{TOKEN}}"


_WEB_PROGRAM = r"""
import asyncio, hashlib, json, os, sys
from aiohttp import WSMsgType, web

async def report(request):
    body = await request.read()
    headers = [[name.lower(), value] for name, value in request.headers.items()]
    answer = {"method": request.method, "path": request.raw_path, "headers": headers, "size": len(body)}
    answer["sha256"] = hashlib.sha256(body).hexdigest()
    status = int(request.query.get("status", 200))
    own = {"connection": "x-private", "x-private": "1", "x-own": "2", "access-control-allow-origin": "*"}
    return web.json_response(answer, status=status, headers=own)

async def transcribe(request):
    form = await request.post()
    digest = hashlib.sha256(form["file"].file.read()).hexdigest()
    return web.json_response({"text": f"{form['model']} {form['file'].filename} {digest}"})

async def events(request):
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(b"data: one\n\ndata: two\n\n")
    return answer

async def talk(request):
    socket = web.WebSocketResponse(protocols=["realtime"], max_msg_size=0, heartbeat=None)
    await socket.prepare(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    await socket.send_json({"path": request.raw_path, "headers": headers})
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
            continue
        command, _, rest = message.data.partition(" ")
        if command == "close":
            await socket.close(code=int(rest), message=b"as asked")
        elif command == "drop":
            request.transport.abort()
        elif command == "die":
            os._exit(9)
        elif command == "flood":
            while True:
                await socket.send_bytes(bytes(65536))
        else:
            await socket.send_str(message.data)
    print("closed with", socket.close_code, flush=True)
    return socket

async def redirect(request):
    location = request.query["to"] if "to" in request.query else f"http://127.0.0.1:{sys.argv[1]}/there?x=1"
    raise web.HTTPFound(location)

async def refuse(request):
    return web.json_response({"detail": "not for you"}, status=403)

app = web.Application(client_max_size=2**30)
app.router.add_post("/v1/audio/transcriptions", transcribe)
app.router.add_get("/v1/realtime", talk)
app.router.add_get("/refusing", refuse)
app.router.add_get("/events", events)
app.router.add_get("/redirect", redirect)
app.router.add_route("*", "/{path:.*}", report)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, handle_signals=True)
"""


def web_command(folder: Path) -> str:
    """A command line that starts a server with transcriptions and a WebSocket; it reports all other requests.

    A text of `close CODE`, `drop`, `die` or `flood` makes the WebSocket do that; everything else comes back.
    """
    program = folder / "web_server.py"
    program.write_text(_WEB_PROGRAM)
    return f"{sys.executable} {program} ${{PORT}}"
