"""
A fake model server on a free port of this machine, as llama.cpp's: GET /health, and POST /v1/completions, which writes one chapter.

Its arguments are its name and the file to write its port into.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Slow enough to be watched, and to be killed in.
CHAPTER_SECONDS = 0.12


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(CHAPTER_SECONDS)
        self._answer({"text": f"{asked['prompt']}, written by {sys.argv[1]}"})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
        """What is asked of it is nobody's news."""

    def _answer(self, body: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


# A port given in the file is the one it had before: who was killed comes back where it was.
file = Path(sys.argv[2])
server = ThreadingHTTPServer(("127.0.0.1", int(file.read_text()) if file.exists() else 0), Handler)
fresh = file.with_suffix(".new")
fresh.write_text(str(server.server_port))
fresh.rename(file)
try:
    server.serve_forever()
except KeyboardInterrupt:
    server.server_close()
