"""What one page works on: the project that is open, the images in correction, the run, the models."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Any

from gpoa.app.browse import inside, list_folder, project_of
from gpoa.app.editors import Editors
from gpoa.app.engine import Engine
from gpoa.app.exporting import export, formats
from gpoa.app.job import RunJob
from gpoa.app.project import Project
from gpoa.config import ReadingConfig
from gpoa.errors import DataError


class Studio:
    """At most one project at a time.

    Args:
        root: folders below it can be opened from the page, nothing else.
        engine: the models.
        output: the output folder of whatever is opened; None: beside the images, see `gpoa.app.browse.project_of`.
        reading: how images are read.

    Attributes:
        trouble: one line about the models, where they cannot be loaded.
    """

    def __init__(
        self, root: Path, engine: Engine, output: Path | None = None, reading: ReadingConfig | None = None
    ) -> None:
        self.root, self.engine, self.trouble = root.resolve(), engine, ""
        self._output, self._reading = output, reading or ReadingConfig()
        self._project: Project | None = None
        self._editors: Editors | None = None
        self._job: RunJob | None = None
        self._lock = threading.Lock()
        self._name = ""

    @property
    def project(self) -> Project:
        """The open project.

        Raises:
            DataError: none is open.
        """
        if self._project is None:
            raise DataError("no folder is open; choose one first")
        return self._project

    @property
    def editors(self) -> Editors:
        """The images in correction; DataError where no project is open."""
        _ = self.project
        assert self._editors is not None
        return self._editors

    def folders(self, path: str) -> dict[str, Any]:
        """What lies in a folder below the root; see `gpoa.app.browse.list_folder`."""
        return list_folder(self.root, path)

    def open(self, path: str) -> None:
        """Opens a folder below the root, or comes back to the one that is open.

        Raises:
            DataError: see `Project`; or another folder's run is not over.
        """
        images, output = project_of(self.root, inside(self.root, path), self._output)
        with self._lock:
            if self._project is not None and self._project.images.resolve() == images.resolve():
                return
            self._leave()
            self._project = Project(images, output, self._reading)
            self._editors = Editors(self._project, self.engine)
            self._name = secrets.token_hex(4)

    def leave(self) -> None:
        """Closes the project; what is accepted is in its output folder.

        Raises:
            DataError: a run is not over.
        """
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        if self._job is not None and not self._job.is_over:
            raise DataError("a run is going on; cancel it or wait for its end, then choose another folder")
        if self._editors is not None:
            self._editors.close()
        if self._project is not None:
            self._project.close()
        self._project = self._editors = self._job = None

    def run(self) -> None:
        """Segments the folder, learning from all accepted masks.

        Raises:
            DataError: no image has one, or a run is going on.
        """
        with self._lock:
            if self._job is not None and not self._job.is_over:
                raise DataError("a run is going on already")
            self._job = RunJob(self.project, self.engine, self.editors.drop_unchanged)
            self._job.start()

    def cancel(self) -> None:
        """Ends the run after the image that is worked on now."""
        if self._job is not None:
            self._job.cancel()

    def export(self, to: str) -> dict[str, Any]:
        """Writes all masks in another form; see `gpoa.app.exporting`."""
        return export(self.project, to)

    def shut_down(self) -> None:
        """Ends everything in good order."""
        if self._job is not None:
            self._job.cancel()
            self._job.join(60)
        with self._lock:
            self._leave()

    def state(self, since: int, known: str) -> dict[str, Any]:
        """What the page shows.

        Args:
            since: the revision that it knows.
            known: names the project that it knows; of another one everything is told.
        """
        with self._lock:
            project, job, name = self._project, self._job, self._name
        made: dict[str, Any] = {"root": str(self.root), "trouble": self.trouble, "project": None}
        made["formats"] = formats()
        if project is None:
            return made
        revision, images = project.changes(since if known == name else 0)
        accepted = project.accepted()
        made["project"] = {"id": name, "images": str(project.images), "output": str(project.output)}
        made |= {"revision": revision, "changed": images, "total": len(project.entries)}
        made["examples"] = sum(not one.absent for _, one in accepted)
        made["unlearned"] = project.unlearned()
        made["command"] = project.command()
        if job is not None:
            made["job"] = job.plain()
        return made
