"""The served report, asked over a real socket: who may ask for what, when it is made anew, and errors in making it."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from harness.reporting import serve
from harness.reporting.serve import HOST, Server
from results.render.page import STATE, policy


class Maker:
    """Makes pages that say what is said of them, and counts them."""

    def __init__(self) -> None:
        self.text, self.count = f"<html>{STATE}one</html>", 0
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.count += 1
        if self.error:
            raise self.error
        return self.text


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def server(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(serve, "REBUILD_S", 0.0)
    monkeypatch.setattr(serve, "COST", 0)
    with Server(maker, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def ask(server: Server, path: str = "/", method: str = "GET", host: str = "") -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"{HOST}:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_page_and_its_state(server: Server, maker: Maker) -> None:
    answer, text = ask(server)
    state = ask(server, "/state")[1].strip()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert text == f'<html><meta name="state" content="{state}">one</html>'
    assert len(state) == 16
    maker.text = "two"
    assert ask(server, "/state")[1].strip() != state
    assert ask(server)[1] == "two"


def test_nothing_is_kept_and_no_script_of_others_runs(server: Server) -> None:
    for path in ("/", "/state", "/other"):
        headers = ask(server, path)[0].headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == f"{policy(live=True)}; frame-ancestors 'none'"


def test_head_has_no_body(server: Server) -> None:
    answer, text = ask(server, method="HEAD")
    assert (answer.status, text) == (200, "")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_only_get_and_head(server: Server, maker: Maker, method: str) -> None:
    answer, text = ask(server, method=method)
    assert (answer.status, answer.headers["Allow"], text) == (405, "GET, HEAD", "only GET and HEAD\n")
    assert maker.count == 0


@pytest.mark.parametrize("path", ["/state/", "/../etc/passwd", "/?x", "http://example.org/", "*", "/%2e"])
def test_nothing_else_is_served(server: Server, maker: Maker, path: str) -> None:
    answer, text = ask(server, path)
    assert (answer.status, text) == (404, "only / and /state\n")
    assert maker.count == 0


def test_only_by_its_own_name(server: Server, maker: Maker) -> None:
    port = server.server_port
    assert ask(server, host=f"localhost:{port}")[0].status == 200
    assert ask(server, host=f"LocalHost:{port}")[0].status == 200
    before = maker.count
    for host in ("evil.example", f"evil.example:{port}", HOST, f"{HOST}:{port + 1}", f"{HOST}:{port}.evil.example"):
        answer, text = ask(server, host=host)
        assert (answer.status, text) == (403, f"this is http://{HOST}:{port}/\n")
    assert maker.count == before


def test_the_usual_port_need_not_be_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "server_port", 80)
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"200"


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
    ids=["no host", "two hosts", "no HTTP"],
)
def test_odd_requests_get_a_line_and_the_server_lives(server: Server, request_text: str) -> None:
    with socket.create_connection((HOST, server.server_port), timeout=10) as connection:
        connection.sendall(request_text.format(port=server.server_port).encode())
        answer = connection.makefile("rb").read().decode()
    assert "403" in answer.splitlines()[0] or answer == "Bad request syntax ('nonsense')\n"
    assert "<html" not in answer
    assert ask(server)[0].status == 200


def test_an_error_is_told_in_a_line_and_the_server_lives_on(
    server: Server, maker: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.error = ValueError("profile demo:\n  no such key <script>")
    answer, text = ask(server)
    assert (answer.status, text) == (500, "The report cannot be made: profile demo: no such key <script>\n")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert ask(server, "/state")[0].status == 500
    assert capsys.readouterr().err == ""
    maker.error = KeyError("our own")
    assert ask(server)[1] == "The report cannot be made: KeyError; the terminal says more\n"
    assert "Traceback" in capsys.readouterr().err
    maker.error = None
    assert ask(server)[0].status == 200


def test_it_is_made_only_when_asked_and_not_again_at_once(
    server: Server, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert maker.count == 0
    monkeypatch.setattr(serve, "REBUILD_S", 1000.0)
    threads = [threading.Thread(target=ask, args=(server,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    ask(server, "/state")
    assert maker.count == 1


def test_a_page_that_takes_long_is_made_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def make() -> str:
        now[0] += 10.0
        return "slow"

    assert serve.Pages(make).current().until == 10.0 + serve.COST * 10.0


def test_a_port_that_is_taken(maker: Maker) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot serve on port {port} of {HOST}: Address already in use; choose"):
            serve.serve(maker, port)
    with pytest.raises(ValueError, match="cannot serve on port 70000"):
        serve.serve(maker, 70000)


def test_ctrl_c_ends_it(maker: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(server: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    serve.serve(maker, 0)
    assert "http://127.0.0.1:" in capsys.readouterr().out
