"""A server of another make, as small as possible, for the engine `command`."""

from __future__ import annotations

from pathlib import Path

_PROGRAM = """
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
            out = f"data: {out}\\n\\ndata: [DONE]\\n\\n"
            self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(out))); self.end_headers()
        self.wfile.write(out.encode())
    do_GET = do_POST = answer
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def external_command(folder: Path) -> str:
    """A command line that starts the server. It reports what it gets, as events if the request sets `stream`.

    With one more argument, it also starts a process in a process group of its own.
    """
    program = folder / "server.py"
    program.write_text(_PROGRAM)
    return f"python3 {program} ${{PORT}} ${{TOKEN}}"
