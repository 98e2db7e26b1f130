"""Downloads go on where they broke off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from gpoa.errors import ModelError
from gpoa.models import download
from tests.models.fakes import CONTENT, tiny_entry


class Server(NamedTuple):
    """A server of one file; `limits` holds how many bytes each coming answer sends before it hangs up."""

    address: str
    limits: list[int]
    ranges: list[str | None]
    settings: dict[str, object]


@pytest.fixture
def server() -> Iterator[Server]:
    limits: list[int] = []
    ranges: list[str | None] = []
    settings: dict[str, object] = {"content": CONTENT, "knows_ranges": True, "status": None}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            ranges.append(asked)
            if settings["status"]:
                self.send_error(int(settings["status"]))
                return
            content = settings["content"]
            start = int(asked[len("bytes=") : -1]) if asked and settings["knows_ranges"] else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            limit = limits.pop(0) if limits else len(content)
            self.wfile.write(content[start : start + limit])

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield Server(f"http://127.0.0.1:{http.server_address[1]}/tiny.pth", limits, ranges, settings)
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)


def _source(address: str, content: bytes = CONTENT):
    return tiny_entry(address, content).sources[0]


def test_whole_file(server: Server, tmp_path: Path) -> None:
    download.download(_source(server.address), tmp_path / "deep" / "x.part")
    assert (tmp_path / "deep" / "x.part").read_bytes() == CONTENT
    assert server.ranges == [None]


def test_dropped_connection_is_continued(server: Server, tmp_path: Path) -> None:
    server.limits.extend([1000, 500])
    download.download(_source(server.address), tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_part_of_an_earlier_run_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT[:700])
    download.download(_source(server.address), tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert server.ranges == ["bytes=700-"]


def test_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.settings["knows_ranges"] = False
    (tmp_path / "x.part").write_bytes(b"rubbish")
    download.download(_source(server.address), tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT


def test_part_survives_when_the_server_sends_no_more(server: Server, tmp_path: Path) -> None:
    server.limits.extend([1000] + [0] * download.ATTEMPTS)
    with pytest.raises(ModelError, match=r"broke off at 1000 of 102400 bytes .*run the same command again"):
        download.download(_source(server.address), tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT[:1000]


def test_truncated_file_on_the_server(server: Server, tmp_path: Path) -> None:
    server.settings["content"] = CONTENT[:5000]
    with pytest.raises(ModelError, match="broke off at 5000 of 102400 bytes"):
        download.download(_source(server.address), tmp_path / "x.part")


def test_another_file_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.settings["content"] = CONTENT[::-1]
    with pytest.raises(ModelError, match="is not the expected file"):
        download.download(_source(server.address), tmp_path / "x.part")
    assert not (tmp_path / "x.part").exists()


def test_too_long_part_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    download.download(_source(server.address), tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == CONTENT


def test_http_error(server: Server, tmp_path: Path) -> None:
    server.settings["status"] = 404
    with pytest.raises(ModelError, match="the server answered 404"):
        download.download(_source(server.address), tmp_path / "x.part")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        download.download(_source("http://127.0.0.1:9/tiny.pth"), tmp_path / "x.part")
