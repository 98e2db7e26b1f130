"""The interface of the page, from a folder to an export, and what users and strangers do to it."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpoa.app.job
import gpoa.app.pictures
import gpoa.app.project
from gpoa.app.server import BODY_LIMIT
from gpoa.cli.main import main
from gpoa.datasets.mask_io import load_mask
from tests.app.conftest import BASE, TOKEN, Page
from tests.red_squares import save_square

MakePage = Callable[..., Page]


def _facts(answer) -> dict:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.headers["x-gpoa-edit"])


def _mask(answer) -> np.ndarray:
    """What an edit answered with: [h, w] bool."""
    assert answer.status_code == 200, answer.text
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.mode == "P" and picture.info["transparency"] == bytes([0, 102, 255])
    return np.asarray(picture) > 0


def test_from_a_folder_to_an_export(page: Page, images: Path) -> None:
    output = images.parent / "images-gpoa"
    state = page.state()
    assert (state["total"], state["examples"], state["project"]["output"]) == (4, 0, str(output))
    assert [one["name"] for one in state["changed"]] == ["t0", "t1", "t2", "t3"]

    facts = _facts(page.edit(0, "open"))
    assert (facts["size"], facts["preview"], facts["empty"]) == ([60, 90], [60, 90], True)
    assert page.post("/api/images/0/ready").status_code == 200
    clicked = page.edit(0, "click", x=20, y=30, label=1)
    assert _facts(clicked)["points"] == [[20, 30, 1]] and _mask(clicked)[30, 20]
    assert page.edit(0, "accept").json() == {"examples": 1}
    assert (load_mask(output / "masks" / "t0.png") == _mask(clicked)).all()
    assert page.state()["unlearned"] == 1

    assert page.post("/api/run").status_code == 200
    job = page.wait_for_run()
    assert (job["state"], job["done"], job["failed"]) == ("done", 3, 0)
    known = page.images()
    assert known["t0"]["accepted"] == "mask"
    assert {known[name]["status"] for name in ("t1", "t2", "t3")} == {"ok"}
    assert page.state()["unlearned"] == 0 and (output / "contact_sheet.jpg").is_file()

    done = page.post("/api/export", to="coco").json()
    coco = json.loads((Path(done["path"]) / "annotations.json").read_text())
    assert (done["count"], done["failed"]) == (4, [])
    assert [one["file_name"] for one in coco["images"]] == [f"t{i}.png" for i in range(4)]
    assert page.post("/api/export", to="masks").json()["path"] == str(output / "masks")
    assert page.post("/api/export", to="paper").status_code == 400


def test_every_format_is_offered_and_needs_a_mask(page: Page) -> None:
    offered = [one["to"] for one in page.state()["formats"]]
    assert offered[0] == "masks" and {"coco", "yolo-seg", "label-studio"} <= set(offered)
    assert "no mask yet" in page.post("/api/export", to="coco").json()["error"]
    page.make_example()  # without any run
    done = page.post("/api/export", to="csv").json()
    assert done["count"] == 1 and "t0.png" in (Path(done["path"]) / "objects.csv").read_text()


def test_corrections_are_learned_and_what_is_accepted_stays(page: Page, images: Path) -> None:
    output = images.parent / "images-gpoa"
    page.make_example()
    page.post("/api/run")
    page.wait_for_run()
    page.edit(2, "open")
    painted = _mask(page.edit(2, "stroke", points=[[10, 5], [30, 5]], radius=3, add=True))
    assert painted[5, 20]
    page.edit(2, "accept")
    kept = (output / "masks" / "t2.png").read_bytes()
    before = (output / "optimized_prompts" / "t1.json").read_text()
    assert page.state()["unlearned"] == 1
    page.post("/api/run")
    assert page.wait_for_run()["references"] == 2
    assert (output / "masks" / "t2.png").read_bytes() == kept  # a person's mask is never segmented again
    assert (output / "optimized_prompts" / "t1.json").read_text() != before
    assert page.state()["unlearned"] == 0


def test_the_command_line_goes_on(page: Page, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.make_example()
    page.post("/api/run")
    page.wait_for_run()
    command = page.state()["command"].split()
    page.studio.leave()
    masks = {path.name: path.read_bytes() for path in (images.parent / "images-gpoa" / "masks").iterdir()}
    same = ["--strategy", "none", "--matching.method", "ridge"]
    assert main([*command[1:], *same, "--cache.off"]) == 0
    assert "3 already there" in capsys.readouterr().out  # the same references and settings: nothing is made again
    assert {path.name: path.read_bytes() for path in (images.parent / "images-gpoa" / "masks").iterdir()} == masks


def test_absent_and_taken_back(page: Page, images: Path) -> None:
    page.make_example()
    page.edit(1, "open")
    assert _facts(page.edit(1, "clear"))["empty"]
    page.edit(1, "accept")
    assert page.images()["t1"]["accepted"] == "absent" and page.state()["examples"] == 1
    assert not load_mask(images.parent / "images-gpoa" / "masks" / "t1.png", allow_empty=True).any()
    page.edit(1, "reopen")
    assert "accepted" not in page.images()["t1"]
    assert not (images.parent / "images-gpoa" / "accepted" / "t1.json").exists()


def test_undo_and_redo(page: Page) -> None:
    page.edit(0, "open")
    first = _mask(page.edit(0, "click", x=20, y=30, label=1))
    second = _mask(page.edit(0, "stroke", points=[[80, 50]], radius=4, add=True))
    assert second[50, 80] and not first[50, 80]
    undone = page.edit(0, "undo")
    assert (_mask(undone) == first).all() and _facts(undone)["redo"] and page.images()["t0"]["edited"]
    assert (_mask(page.edit(0, "redo")) == second).all()
    page.edit(0, "undo")
    facts = _facts(page.edit(0, "undo"))
    assert facts["empty"] and not facts["undo"] and "edited" not in page.images()["t0"]


def test_suggests_a_click_inside_the_image(page: Page) -> None:
    page.make_example()
    page.post("/api/run")
    page.wait_for_run()
    page.edit(1, "open")
    page.edit(1, "clear")
    click = page.edit(1, "suggest").json()["click"]
    assert click["label"] == 1 and 20 <= click["y"] < 40 and 20 <= click["x"] < 50  # the square of t1, by the prior


# -- closed, opened, killed


def test_a_project_goes_on_where_it_was(page: Page, images: Path, make_page: MakePage) -> None:
    page.make_example()
    page.post("/api/run")
    page.wait_for_run()
    before = {name: (one["status"], one.get("confidence"), one.get("accepted")) for name, one in page.images().items()}
    page.studio.leave()
    again = make_page(images.parent)
    after = {name: (one["status"], one.get("confidence"), one.get("accepted")) for name, one in again.images().items()}
    assert after == before and again.state()["unlearned"] == 0
    again.studio.leave()
    assert make_page(images.parent, "images-gpoa").state()["project"]["images"] == str(images)  # by its output folder


def test_killed_before_the_mask_was_shown(page: Page, images: Path, make_page: MakePage) -> None:
    page.make_example()
    page.studio.leave()
    output = images.parent / "images-gpoa"
    kept = (output / "accepted" / "t0.png").read_bytes()
    (output / "masks" / "t0.png").write_bytes(b"")  # another program, or a kill between the two files
    (output / "accepted" / "t1.png").write_bytes(kept)  # a kill before the json file: nobody accepted it
    again = make_page(images.parent)
    assert (output / "masks" / "t0.png").read_bytes() == kept
    known = again.images()
    assert known["t0"]["accepted"] == "mask" and "accepted" not in known["t1"]


def test_killed_during_a_run(page: Page, images: Path, make_page: MakePage) -> None:
    """What `run.json` does not know is read from the prompt files."""
    page.make_example()
    page.post("/api/run")
    page.wait_for_run()
    page.studio.leave()
    (images.parent / "images-gpoa" / "run.json").unlink()
    assert {one["status"] for one in make_page(images.parent).images().values()} == {"new", "ok"}


def test_two_programs_on_one_project(page: Page, images: Path, make_page: MakePage) -> None:
    other = make_page(images.parent, None)
    refused = other.post("/api/open", path="images")
    assert refused.status_code == 400 and "open in another `gpoa app`" in refused.json()["error"]
    page.studio.leave()
    assert other.post("/api/open", path="images").status_code == 200


def test_two_windows_on_one_image(page: Page) -> None:
    other = Page(page.studio, "two")
    page.edit(0, "open")
    assert other.edit(0, "open").status_code == 200  # nothing was changed yet: it just moves over
    assert page.edit(0, "click", x=20, y=30, label=1).status_code == 409
    assert other.edit(0, "click", x=20, y=30, label=1).status_code == 200
    assert page.edit(0, "open").status_code == 409
    taken = page.edit(0, "open", take_over=True)
    assert _facts(taken)["clicks"] == 1  # with the other window's steps
    page.edit(0, "accept")
    assert other.images()["t0"]["accepted"] == "mask"  # both windows see it


# -- during a run


def test_cancel_keeps_what_is_done(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.make_example()
    honest, reached = gpoa.app.job.RunJob._tell, threading.Event()

    def tell(job, item) -> None:
        page.studio.cancel()
        reached.set()
        honest(job, item)

    monkeypatch.setattr(gpoa.app.job.RunJob, "_tell", tell)
    page.post("/api/run")
    assert reached.wait(10)
    job = page.wait_for_run()
    assert (job["state"], job["done"]) == ("cancelled", 1)
    assert sorted(one["status"] for one in page.images().values()) == ["new", "new", "new", "ok"]
    assert page.state()["unlearned"] == 1


def test_what_is_accepted_meanwhile_is_not_overwritten(
    page: Page, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.make_example()
    honest = gpoa.app.job.RunJob._tell
    monkeypatch.setattr(gpoa.app.job.RunJob, "_tell", lambda job, item: (accept(), honest(job, item)))

    def accept() -> None:
        if "accepted" not in page.images()["t1"]:  # t1 is the image that was worked on until now, t3 is still to come
            for index in (1, 3):
                page.edit(index, "open")
                page.edit(index, "stroke", points=[[3, 3]], radius=2, add=True)
                page.edit(index, "accept")

    page.post("/api/run")
    assert page.wait_for_run()["done"] == 3
    for name in ("t1", "t3"):
        assert load_mask(images.parent / "images-gpoa" / "masks" / f"{name}.png")[3, 3]
    assert page.state()["unlearned"] == 2


def test_a_run_needs_an_example_and_is_alone(page: Page) -> None:
    refused = page.post("/api/run")
    assert refused.status_code == 400 and "no example yet" in refused.json()["error"]
    page.make_example()
    with page.studio.engine.for_person():  # the run waits for the models
        page.post("/api/run")
        assert "going on already" in page.post("/api/run").json()["error"]
        assert "cancel it" in page.post("/api/close").json()["error"]
    page.wait_for_run()


# -- bad input


def test_an_image_that_cannot_be_read(images: Path, make_page: MakePage) -> None:
    (images / "t1b.png").write_bytes(b"no picture")
    page = make_page(images.parent)
    assert page.get("/api/images/2/thumb").status_code == 400
    refused = page.edit(2, "open")
    assert refused.status_code == 400 and "t1b.png" in refused.json()["error"]
    page.make_example()
    page.post("/api/run")
    job = page.wait_for_run()
    assert (job["state"], job["done"], job["failed"]) == ("done", 4, 1)
    known = page.images()
    assert known["t1b"]["status"] == "failed" and "t1b.png" in known["t1b"]["error"]
    assert known["t3"]["status"] == "ok"


def test_the_folder_goes_away(page: Page, images: Path) -> None:
    page.make_example()
    images.rename(images.with_name("elsewhere"))
    refused = page.edit(1, "open")
    assert refused.status_code == 400 and "no such file" in refused.json()["error"]
    assert page.get("/api/images/1/thumb").status_code == 400
    page.post("/api/run")
    job = page.wait_for_run()
    assert job["state"] == "failed" and "no such file" in job["error"]
    images.with_name("elsewhere").rename(images)
    page.post("/api/run")
    assert page.wait_for_run()["state"] == "done"  # the page has outlived it


def test_the_output_folder_goes_away(page: Page, images: Path) -> None:
    page.make_example()
    shutil.rmtree(images.parent / "images-gpoa")
    page.edit(1, "open")
    page.edit(1, "click", x=30, y=30, label=1)
    assert page.edit(1, "accept").status_code == 200  # folders are made again
    assert (images.parent / "images-gpoa" / "accepted" / "t1.json").is_file()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions that bind")
def test_an_output_folder_that_cannot_be_written(images: Path, make_page: MakePage) -> None:
    output = images.parent / "locked"
    output.mkdir(mode=0o500)
    refused = make_page(images.parent, None, output).post("/api/open", path="images")
    assert refused.status_code == 400 and "--output" in refused.json()["error"]


def test_another_folders_masks(page: Page, images: Path, make_page: MakePage) -> None:
    page.studio.leave()
    save_square(images.parent / "more" / "a.png", 10)
    other = make_page(images.parent, None, images.parent / "images-gpoa")
    assert "holds the masks of" in other.post("/api/open", path="more").json()["error"]


def test_twenty_thousand_images_stay_closed(
    tmp_path: Path, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = save_square(tmp_path / "many" / "i00000.png", 10)
    for number in range(1, 20_000):
        os.link(original, original.with_name(f"i{number:05d}.png"))
    read: list[object] = []
    for room in (gpoa.app.pictures, gpoa.app.project):
        honest = room.load_sample
        monkeypatch.setattr(room, "load_sample", lambda *args, honest=honest: read.append(args) or honest(*args))
    began = time.process_time()
    page = make_page(tmp_path, "many")
    state = page.state()
    assert time.process_time() - began < 40 and read == []  # reading them all takes minutes
    assert state["total"] == 20_000
    assert page.get("/api/images/19999/thumb").status_code == 200 and len(read) == 1
    known, project = state["revision"], state["project"]["id"]
    page.studio.project.mark(7, edited=True)
    news = page.get(f"/api/state?since={known}&project={project}").json()["changed"]
    assert [one["name"] for one in news] == ["i00007"]


def test_two_hundred_megapixels(tmp_path: Path, make_page: MakePage) -> None:
    (tmp_path / "images").mkdir()
    picture = Image.new("L", (20_000, 10_000), 30)
    picture.paste(220, (9_000, 4_000, 11_000, 6_000))
    picture.save(tmp_path / "images" / "large.png", compress_level=1)
    page = make_page(tmp_path)
    facts = _facts(page.edit(0, "open"))
    assert facts["size"] == [10_000, 20_000] and facts["preview"] == [1024, 2048]
    preview = Image.open(io.BytesIO(page.get("/api/images/0/preview").content))
    assert preview.size == (2048, 1024)
    close = page.get("/api/images/0/region?x0=8900&y0=3900&x1=9100&y1=4100")
    pixels = np.asarray(Image.open(io.BytesIO(close.content)).convert("L"))
    assert pixels.shape == (200, 200) and pixels[150, 150] > 200 and pixels[50, 50] < 50  # its own pixels
    page.edit(0, "click", x=1024, y=512, label=1)
    page.edit(0, "accept")
    mask = load_mask(tmp_path / "images-gpoa" / "masks" / "large.png")
    assert mask.shape == (10_000, 20_000) and mask[5_000, 10_000] and not mask[0, 0]


@pytest.mark.parametrize(
    ("what", "payload"),
    [
        ("click", {"x": 500, "y": 5, "label": 1}),  # outside
        ("click", {"x": "a", "y": 5, "label": 1}),
        ("click", {"x": 5, "y": 5, "label": 7}),
        ("click", {"x": float("inf"), "y": 5, "label": 1}),
        ("stroke", {"points": [], "radius": 4, "add": True}),
        ("stroke", {"points": [[1, 1]], "radius": -4, "add": True}),
        ("stroke", {"radius": 4}),
        ("explode", {}),
    ],
)
def test_steps_that_make_no_sense(page: Page, what: str, payload: dict) -> None:
    page.edit(0, "open")
    body = json.dumps({"window": "one", **payload})
    refused = page.client.post(f"/api/images/0/edit/{what}", content=body)
    assert refused.status_code == 400 and refused.json()["error"]
    assert not _facts(page.edit(0, "open"))["undo"]


def test_requests_that_make_no_sense(page: Page) -> None:
    assert page.client.post("/api/run", content=b"no json").status_code == 400
    assert page.client.post("/api/run", content=b"[1]").status_code == 400
    assert "larger than" in page.client.post("/api/run", content=b" " * (BODY_LIMIT + 1)).json()["error"]
    assert page.get("/api/images/99/thumb").status_code == 400
    assert page.get("/api/images/0/region?x0=1").status_code == 400
    assert page.get("/api/images/0/region?x0=500&y0=0&x1=600&y1=9").status_code == 400
    assert page.get("/static/../server.py").status_code == 404


# -- paths and strangers


@pytest.mark.parametrize("path", ["..", "../secret", "images/../..", "/etc", "link", "images\0"])
def test_paths_outside_are_refused(images: Path, make_page: MakePage, path: str) -> None:
    root = images.parent / "root"
    save_square(root / "inside" / "a.png", 10)
    save_square(images.parent / "secret" / "b.png", 10)
    (root / "link").symlink_to(images.parent / "secret")
    page = make_page(root, None)
    for answer in (page.post("/api/open", path=path), page.get(f"/api/folders?path={path.replace(chr(0), '%00')}")):
        assert answer.status_code == 400 and "lies outside" in answer.json()["error"]
    assert [one["name"] for one in page.get("/api/folders?path=").json()["folders"]] == ["inside"]
    assert page.state()["project"] is None and page.get("/api/images/0/thumb").status_code == 400


def test_folders_are_listed_with_what_they_hold(page: Page, images: Path) -> None:
    found = page.get("/api/folders?path=").json()
    assert {one["name"]: (one["images"], one["project"]) for one in found["folders"]} == {
        "images": (4, False),
        "images-gpoa": (0, True),
    }
    assert page.get("/api/folders?path=images").json()["images"] == 4


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),  # another site's script
        ({"origin": "null"}, 403),  # a sandboxed frame
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"x-gpoa-token": ""}, 403),  # a form of another site cannot send the header
        ({"x-gpoa-token": "guess"}, 403),
        ({"cookie": "gpoa=guess"}, 403),
        ({"host": "evil.example"}, 421),  # a name that was pointed at this machine (DNS rebinding)
        ({"host": "localhost:8888", "origin": "http://localhost:8888"}, 200),  # through an SSH tunnel
    ],
)
def test_cross_site_requests_are_refused(page: Page, headers: dict[str, str], status: int) -> None:
    page.make_example()
    if "cookie" in headers or "host" in headers:
        page.client.cookies.clear()
        headers = {"cookie": f"gpoa={TOKEN}", **headers}
    answer = page.client.post("/api/run", json={}, headers=headers)
    assert answer.status_code == status
    assert ("job" in page.studio.state(0, "")) == (status == 200)


def test_pictures_and_state_need_the_cookie(page: Page) -> None:
    page.client.cookies.clear()
    for path in ("/api/state", "/api/images/0/thumb", "/static/main.js", "/"):
        assert page.get(path).status_code == 403
    assert "?token=" in page.get("/").text
    assert page.get("/?token=guess").status_code == 403
    opened = page.get(f"/?token={TOKEN}")  # the printed address: a cookie, and the address without the token
    assert opened.status_code == 200 and opened.url == f"{BASE}/" and TOKEN in opened.text
    assert "samesite=strict" in opened.history[0].headers["set-cookie"].lower()
    assert "httponly" in opened.history[0].headers["set-cookie"].lower()
    assert page.get("/api/state").status_code == 200


def test_the_page_loads_nothing_from_elsewhere(page: Page) -> None:
    text = page.get("/").text
    assert "{{" not in text
    policy = page.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "http" not in policy
    for name in ("index.html", "app.css", "main.js", "editor.js", "stage.js", "gallery.js", "api.js"):
        content = (Path(gpoa.app.__file__).parent / "static" / name).read_text()
        assert "http://" not in content and "https://" not in content and "//cdn" not in content

