"""The report as a page that follows the runs folder, served to this machine alone."""

import hashlib
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from results.render.page import STATE, policy

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""What a browser may call this server; another name is that of a page which had its own name lead here."""
REBUILD_S, COST = 2.0, 3
"""A page is reused for this many seconds, or for this multiple of the time that making it took: large ones are remade
less often."""
ERROR_TEXT = 500
"""Characters of an error that the browser is shown."""


@dataclass(frozen=True)
class Made:
    """The page as it was made last, or why it could not be."""

    status: HTTPStatus
    body: bytes
    state: str
    """A digest that is another whenever the page is."""
    until: float
    """By the monotonic clock, how long it is good."""


class Pages:
    """Makes the page again when it is requested and the last one is old; one request at a time makes it."""

    def __init__(self, make_page: Callable[[], str]) -> None:
        self._make, self._lock = make_page, threading.Lock()
        self._made: Made | None = None

    def current(self) -> Made:
        """The page as it is now."""
        with self._lock:
            if self._made is None or time.monotonic() >= self._made.until:
                began = time.monotonic()
                status, text = self._text()
                now = time.monotonic()
                state = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
                text = text.replace(STATE, STATE.replace('content=""', f'content="{state}"'), 1)
                until = now + max(REBUILD_S, COST * (now - began))
                self._made = Made(status, text.encode(errors="replace"), state, until)
            return self._made

    def _text(self) -> tuple[HTTPStatus, str]:
        try:
            return HTTPStatus.OK, self._make()
        except (ValueError, OSError) as error:
            said = " ".join(str(error).split())[:ERROR_TEXT]
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            said = f"{type(error).__name__}; the terminal says more"
        return HTTPStatus.INTERNAL_SERVER_ERROR, f"The report cannot be made: {said}\n"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of / and /state, to browsers that know this server by its own name."""

    server: "Server"
    server_version, sys_version = "harness", ""
    timeout = 10

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command not in ("GET", "HEAD"):
            self._say(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD\n", Allow="GET, HEAD")
        elif not self._asked_by_name():
            self._say(HTTPStatus.FORBIDDEN, f"this is http://{HOST}:{self.server.server_port}/\n")
        elif self.path not in ("/", "/state"):
            self._say(HTTPStatus.NOT_FOUND, "only / and /state\n")
        else:
            return True
        return False

    def _asked_by_name(self) -> bool:
        """Whether there is one Host, and it is this server's; a browser leaves out the usual port."""
        port = self.server.server_port
        ours = [f"{name}:{port}" for name in NAMES] + [name for name in NAMES if port == HTTP_PORT]
        asked = self.headers.get_all("Host", [])
        return len(asked) == 1 and asked[0].lower() in ours

    def do_GET(self) -> None:
        made = self.server.pages.current()
        if made.status != HTTPStatus.OK:
            self._answer(made.status, "text/plain", made.body)
        elif self.path == "/state":
            self._say(HTTPStatus.OK, f"{made.state}\n")
        else:
            self._answer(HTTPStatus.OK, "text/html", made.body)

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server does not understand is answered in a line as well."""
        self._say(HTTPStatus(code), f"{message or HTTPStatus(code).phrase}\n")

    def log_message(self, format: str, *args: Any) -> None:
        """A page that asks every few seconds is no news."""

    def _say(self, status: HTTPStatus, text: str, **headers: str) -> None:
        self._answer(status, "text/plain", text.encode(errors="replace"), **headers)

    def _answer(self, status: HTTPStatus, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        common = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"{self.server.policy}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in (common | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `port` 0 takes any free one. ValueError if the port is not available."""

    daemon_threads = True

    def __init__(self, make_page: Callable[[], str], port: int) -> None:
        self.pages, self.policy = Pages(make_page), policy(live=True)
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
            raise ValueError(f"cannot serve on port {port} of {HOST}: {reason}; choose another (--port)") from None

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server's own asks the network for this host's name
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no news either."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def serve(make_page: Callable[[], str], port: int) -> None:
    """Serve the page that `make_page` returns, made again on request, until Ctrl-C. An error in it is answered
    in a line, and the server keeps running. ValueError if the port is not available."""
    with Server(make_page, port) as server:
        print(f"http://{HOST}:{server.server_port}/ shows the report, and follows it; Ctrl-C ends this", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
