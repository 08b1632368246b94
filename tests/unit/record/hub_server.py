"""A hub on the loopback address with a few files, which huggingface_hub takes for the real one."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def hub_server(files: Mapping[str, bytes], commit: str) -> Iterator[str]:
    """Serve the same files for every repository and revision; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, *, with_body: bool) -> None:
            name = self.path.rpartition("/")[2].partition("?")[0]
            if "/resolve/" in self.path and name in files:
                data, kind = files[name], "application/octet-stream"
            elif self.path.startswith("/api/"):
                siblings = [{"rfilename": name} for name in files]
                info = {"id": "org/model", "sha": commit, "siblings": siblings}
                tree = [
                    {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}  # noqa: S324 - git's
                    for n, d in files.items()
                ]
                data = json.dumps(tree if "/tree/" in self.path else info).encode()
                kind = "application/json"
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if with_body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
