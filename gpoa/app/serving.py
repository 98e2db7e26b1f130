"""The page on a port, until ctrl-C."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from gpoa.app.guard import is_loopback, names_for, new_token
from gpoa.app.server import make_app, warm_up
from gpoa.app.studio import Studio
from gpoa.errors import ConfigError


def serve(studio: Studio, host: str, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Answers until ctrl-C or SIGTERM.

    Args:
        studio: what the page works on.
        host: the address to listen on.
        port: 0 takes a free one.
        browser: open the page.
        say: gets a line for the person in front of the terminal.

    Raises:
        ConfigError: the port is in use, or the address is not one of this machine.
    """
    listening = bind(host, port)
    port = listening.getsockname()[1]
    token, everywhere = new_token(), host in ("0.0.0.0", "::", "")
    app = make_app(studio, token, names_for(host), everywhere, f"gpoa-{port}")
    shown = "127.0.0.1" if everywhere or is_loopback(host) else host
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/?token={token}"
    say(f"gpoa app: open {address}")
    if not is_loopback(host):
        say("  other machines can reach this page: whoever has the token can read and change this project's files")
    say("  ctrl-C closes it; accepted masks are kept")
    warm_up(studio)
    if browser:
        threading.Timer(0.3, webbrowser.open, [address]).start()
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listening])


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: see `serve`.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: 0 to 65535 is expected")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(128)  # from here on a browser waits for its answer, and is not turned away while we start
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            said = f"--port {port}: in use, perhaps by another gpoa app; take another one, or --port 0 for a free one"
            raise ConfigError(said) from error
        raise ConfigError(f"--host {host} --port {port}: cannot listen there ({error.strerror or error})") from error
    return made
