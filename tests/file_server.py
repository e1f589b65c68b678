"""A server on this machine that gives files, and misbehaves as a test asks."""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Server", "serve"]


@dataclass
class Server:
    """What is served, how it misbehaves, and what was asked of it."""

    files: dict[str, bytes] = field(default_factory=dict)
    root: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request."""
    status: dict[str, list[int]] = field(default_factory=dict)
    """Answers to give first, one a request."""
    cut: dict[str, list[int]] = field(default_factory=dict)
    """Bytes after which to hang up, one a request."""
    etag: str | None = '"one"'
    ranges: bool = True
    with_length: bool = True
    delay_s: float = 0.0
    silent_s: float = 0.0


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plan: Server

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        plan, wanted = self.plan, self.headers.get("Range")
        plan.asked.append((self.path, wanted))
        self.close_connection = True
        time.sleep(plan.silent_s)
        if plan.status.get(self.path):
            self.send_error(plan.status[self.path].pop(0))
            return
        if self.path not in plan.files:
            self.send_error(404)
            return
        data, start = plan.files[self.path], 0
        same = self.headers.get("If-Range") in (None, plan.etag)
        if wanted and plan.ranges and same:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if plan.etag:
            self.send_header("ETag", plan.etag)
        if plan.with_length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if plan.cut.get(self.path):
            body = body[: plan.cut[self.path].pop(0)]
        try:
            for k in range(0, len(body), 4096) if plan.delay_s else [0]:
                self.wfile.write(body[k : k + 4096] if plan.delay_s else body)
                self.wfile.flush()
                time.sleep(plan.delay_s)
        except OSError:
            pass  # the other side has left, as some tests want


def serve() -> Iterator[Server]:
    """Yield a server that runs."""
    plan = Server()
    handler = type("Handler", (_Handler,), {"plan": plan})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    plan.root = f"http://127.0.0.1:{httpd.server_port}"
    yield plan
    httpd.shutdown()
    httpd.server_close()
    thread.join()
