"""A server of another make, as small as possible, for the engine `command`."""

from __future__ import annotations

from pathlib import Path

_PROGRAM = r"""
import http.server, json, os, sys
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
            return self.stream(out, got.get("events", 0), got.get("size", 0))
        out += " " * (got.get("size", 0) - len(out))
        sent = got.get("sent", len(out))
        self.send_header("content-length", str(len(out))); self.end_headers()
        self.wfile.write(out[:sent].encode())
        self.close_connection = sent < len(out)
    def stream(self, out, events, size):
        self.send_header("content-type", "text/event-stream"); self.end_headers()
        for event in [out, *[json.dumps({"junk": "x" * size})] * events, "[DONE]"]:
            self.wfile.write(f"data: {event}\n\n".encode())
    do_GET = do_POST = answer
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def external_command(folder: Path) -> str:
    """A command line that starts the server. It reports what it gets, as events if the request sets `stream`.

    With one more argument, it also starts a process in a process group of its own. A request's `size` pads the answer
    to so many bytes, of which only `sent` are sent before the connection breaks. In streams, `events` more events of
    this size follow.
    """
    program = folder / "server.py"
    program.write_text(_PROGRAM)
    return f"python3 {program} ${{PORT}} ${{TOKEN}}"
