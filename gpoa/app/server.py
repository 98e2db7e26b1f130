"""What the page asks for over HTTP, on Starlette; `gpoa.app.guard` decides who may ask.

Masks go out as PNG with what is known of the edit in the header `x-gpoa-edit`; everything else is JSON. A mistake that
a person can mend is answered with status 400 and one line, and nothing that is wrong with one image ends the server.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gpoa import __version__
from gpoa.app.editors import InUseError, edit_facts
from gpoa.app.guard import Guard
from gpoa.app.pictures import close_up, encode_jpeg, encode_mask, preview_of, thumbnail
from gpoa.app.studio import Studio
from gpoa.errors import DataError, DiskFullError, GpoaError, one_line
from gpoa.pipeline.outputs import mask_path

logger = logging.getLogger(__name__)

BODY_LIMIT = 1 << 20
"""Bytes of a request; images are never sent to the server."""
STATIC = Path(__file__).parent / "static"
FOREVER = {"cache-control": "private, max-age=86400, immutable"}
FRESH = {"cache-control": "no-store"}

Handler = Callable[[Studio, Request, dict[str, Any]], Response]


def make_app(
    studio: Studio, token: str, names: frozenset[str], any_address: bool = False, cookie: str = "gpoa"
) -> Starlette:
    """The page and its interface as an ASGI application.

    Args:
        studio: the project that is open, and the models.
        token: of this session.
        names: `Host` names that are answered to, see `gpoa.app.guard.names_for`.
        any_address: also any IP address.
        cookie: the name under which the browser keeps the token; browsers share cookies among the ports of a machine.
    """
    image = "/api/images/{index:int}"
    routes = [
        Route("/", _wrapped(studio, lambda s, r, p: _page(token)), methods=["GET"]),
        Route("/api/state", _wrapped(studio, _state), methods=["GET"]),
        Route("/api/folders", _wrapped(studio, _folders), methods=["GET"]),
        Route("/api/open", _wrapped(studio, _open), methods=["POST"]),
        Route("/api/close", _wrapped(studio, _close), methods=["POST"]),
        Route("/api/run", _wrapped(studio, _run), methods=["POST"]),
        Route("/api/cancel", _wrapped(studio, _cancel), methods=["POST"]),
        Route("/api/export", _wrapped(studio, _export), methods=["POST"]),
        Route(f"{image}/thumb", _wrapped(studio, _thumb), methods=["GET"]),
        Route(f"{image}/preview", _wrapped(studio, _preview), methods=["GET"]),
        Route(f"{image}/region", _wrapped(studio, _region), methods=["GET"]),
        Route(f"{image}/ready", _wrapped(studio, _ready), methods=["POST"]),
        Route(f"{image}/edit/{{what}}", _wrapped(studio, _edit), methods=["POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    guard = Middleware(Guard, names=names, token=token, cookie=cookie, any_address=any_address)
    return Starlette(routes=routes, middleware=[guard])


def _wrapped(studio: Studio, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler as an endpoint: its body read, its mistakes answered, in a thread of its own."""

    async def endpoint(request: Request) -> Response:
        try:
            payload = await _body(request)
            return await run_in_threadpool(handler, studio, request, payload)
        except InUseError as error:
            return _problem(error, 409)
        except DiskFullError as error:
            return _problem(error, 507)
        except GpoaError as error:
            return _problem(error, 400)
        except (KeyError, TypeError, ValueError) as error:
            logger.debug("%s", request.url.path, exc_info=True)
            return _problem(DataError(f"{request.url.path}: not understood ({one_line(error)})"), 400)
        except MemoryError:
            return _problem(DataError("this machine has too little memory for the image; scale it down"), 507)

    return endpoint


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; empty where there is none.

    Raises:
        DataError: it is too large, or no JSON object.
    """
    if request.method == "GET":
        return {}
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > BODY_LIMIT:
            raise DataError(f"the request is larger than {BODY_LIMIT:,} bytes")
    try:
        payload = json.loads(content or b"{}")
    except ValueError as error:
        raise DataError(f"the request is no JSON ({one_line(error)})") from error
    if not isinstance(payload, dict):
        raise DataError("the request is no JSON object")
    return payload


def _problem(error: Exception, status: int) -> Response:
    return JSONResponse({"error": one_line(error)}, status, headers=FRESH)


def _page(token: str) -> Response:
    """The page, with the session's token for its own requests."""
    text = (STATIC / "index.html").read_text("utf-8").replace("{{token}}", token).replace("{{version}}", __version__)
    return Response(text, media_type="text/html", headers=FRESH)


def _state(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    since = int(request.query_params.get("since", 0))
    return JSONResponse(studio.state(since, request.query_params.get("project", "")), headers=FRESH)


def _folders(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    return JSONResponse(studio.folders(request.query_params.get("path", "")), headers=FRESH)


def _open(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    studio.open(str(payload["path"]))
    return JSONResponse(studio.state(0, ""), headers=FRESH)


def _close(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    studio.leave()
    return JSONResponse(studio.state(0, ""), headers=FRESH)


def _run(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    studio.run()
    return JSONResponse({}, headers=FRESH)


def _cancel(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    studio.cancel()
    return JSONResponse({}, headers=FRESH)


def _export(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    return JSONResponse(studio.export(str(payload.get("to", "coco"))), headers=FRESH)


def _thumb(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    project, index = studio.project, request.path_params["index"]
    sample = project.entry(index).sample
    mask = mask_path(project.output, sample)
    return Response(thumbnail(sample, project.reading, mask), media_type="image/jpeg", headers=FOREVER)


def _preview(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    image = studio.editors.pixels.get(request.path_params["index"])
    return Response(encode_jpeg(preview_of(image)), media_type="image/jpeg", headers=FRESH)


def _region(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    image = studio.editors.pixels.get(request.path_params["index"])
    x0, y0, x1, y1 = (int(request.query_params[name]) for name in ("x0", "y0", "x1", "y1"))
    return Response(encode_jpeg(close_up(image, (x0, y0, x1, y1))), media_type="image/jpeg", headers=FRESH)


def _ready(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    studio.editors.wait(request.path_params["index"], str(payload["window"]))
    return JSONResponse({}, headers=FRESH)


def _edit(studio: Studio, request: Request, payload: dict[str, Any]) -> Response:
    """One step of a correction; answers with the mask."""
    index, window, what = request.path_params["index"], str(payload["window"]), request.path_params["what"]
    editors, began = studio.editors, time.perf_counter()
    facts: dict[str, Any] = {}
    if what == "accept":
        editors.accept(index, window)
        return JSONResponse({"examples": len(studio.project.accepted())}, headers=FRESH)
    if what == "open":
        opened = editors.open(index, window, bool(payload.get("take_over")))
        facts = {"size": list(opened.full_size), "preview": list(opened.edit.size)}
    elif what == "reopen":
        studio.project.take_back(index)
        opened = editors.get(index, window)
    elif what == "suggest":
        found = editors.suggest(index, window)
        return JSONResponse({"click": found and {"x": found[0], "y": found[1], "label": found[2]}}, headers=FRESH)
    else:
        opened = editors.get(index, window)
        _step(studio, index, window, what, payload)
    edited = bool(opened.edit.steps)
    if studio.project.entry(index).edited != edited:
        studio.project.mark(index, edited=edited)
    facts |= {**edit_facts(opened), "ms": round(1000 * (time.perf_counter() - began), 1)}
    headers = {"x-gpoa-edit": json.dumps(facts), **FRESH}
    return Response(encode_mask(opened.edit.mask), media_type="image/png", headers=headers)


def _step(studio: Studio, index: int, window: str, what: str, payload: dict[str, Any]) -> None:
    """Click, stroke, clear, undo, redo.

    Raises:
        DataError: it is none of these.
    """
    edit = studio.editors.get(index, window).edit
    if what == "click":
        label = int(payload["label"])
        if label not in (0, 1):
            raise DataError(f"click label {label}: 1 is on the object, 0 beside it")
        studio.editors.click(index, window, float(payload["x"]), float(payload["y"]), label)
    elif what == "stroke":
        points = [(float(x), float(y)) for x, y in payload["points"]]
        radius = float(payload["radius"])
        if not points or not 0 < radius <= max(edit.size):
            raise DataError("a stroke needs at least one point and a radius above 0")
        edit.stroke(points, radius, bool(payload["add"]))
    elif what in ("clear", "undo", "redo"):
        getattr(edit, what)()
    else:
        raise DataError(f"{what}: no such step; known are click, stroke, clear, undo, redo, accept, suggest")


def warm_up(studio: Studio) -> None:
    """Loads the models beside the page, so that the first click need not."""

    def load() -> None:
        try:
            with studio.engine.for_person():
                pass
        except GpoaError as error:
            studio.trouble = one_line(error)

    threading.Thread(target=load, name="gpoa-warm-up", daemon=True).start()
