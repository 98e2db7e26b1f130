"""Instance segmentation of one image: the frozen models and the prior on windows of it, an object each.

The reference is cut into windows of the size in which targets are seen, so that the prior compares like with like, and
its own objects say how large that is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gpoa.config import ObjectsConfig, digest
from gpoa.datasets.label_io import load_labelled
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.datasets.shots import ImageLike, zip_shots
from gpoa.errors import ConfigError, DataError
from gpoa.geometry import resample
from gpoa.instances.finding import Tuning, View, find_objects
from gpoa.instances.fusion import average, paint, suppress
from gpoa.instances.objects import Found, Objects, none_found
from gpoa.instances.sizes import SizeRange, learn_sizes
from gpoa.instances.store import WindowStore
from gpoa.instances.tiles import Tile, halo_for, reference_tiles, tile_grid, tile_side
from gpoa.pipeline.image import ImagePipeline
from gpoa.types import Size

Tell = Callable[[int, int], None]
"""Is handed (windows done, windows in all)."""


class InstanceSegmenter:
    """Objects, one by one, after one or more references.

    Args:
        pipeline: the models and settings; its matcher must be the prior.

    Raises:
        ConfigError: another matcher is chosen.
    """

    def __init__(self, pipeline: ImagePipeline) -> None:
        if pipeline.config.matching.method != "prior":
            raise ConfigError("--instances works with the prior only: leave --matching.method at prior")
        self.pipeline, self.settings = pipeline, pipeline.config.objects
        self.tuning = Tuning()
        self.look: Callable[[np.ndarray], View] = self._look
        self._sizes: SizeRange | None = None
        self.shots: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def sizes(self) -> SizeRange:
        """Sizes of the references' objects, in pixels.

        Raises:
            DataError: `fit` was not called.
        """
        if self._sizes is None:
            raise DataError("no reference yet: call fit(reference, mask) first")
        return self._sizes

    def fit(
        self,
        references: ImageLike | Sequence[ImageLike],
        masks: ImageLike | Sequence[ImageLike],
        options: MaskOptions = NO_OPTIONS,
    ) -> InstanceSegmenter:
        """Learns what the object is, and how large.

        Args:
            references: one image or k images: paths, or [H, W, 3] uint8 RGB.
            masks: as many: label images, whose numbers are the objects, or masks, whose connected parts are.
            options: what the object is, where the masks' values do not say so.

        Returns:
            The segmenter itself.

        Raises:
            ImageError, MaskError: a file cannot be used.
            DataError: the numbers of images and masks differ.
        """
        reading = self.pipeline.config.reading
        pairs = [load_labelled(image, mask, options, reading) for image, mask in zip_shots(references, masks)]
        self._sizes = learn_sizes([labels for _, labels in pairs])
        images, parts = [], []
        for image, labels in pairs:
            tiles = reference_tiles(labels, self.tiles(labels.shape), self.settings.reference_tiles)
            for tile in tiles:
                images.append(np.ascontiguousarray(image[tile.outer]))
                parts.append(labels[tile.outer] > 0)
        if not images:  # no window shows both: the whole images do, or `fit` says what is wrong
            images, parts = [image for image, _ in pairs], [labels > 0 for _, labels in pairs]
        self.pipeline.fit(images, parts)
        self.shots = [(image, labels > 0) for image, labels in pairs]
        return self

    def tiles(self, size: Size) -> list[Tile]:
        """The windows in which an image of this size (H, W) is seen."""
        side = tile_side(self.sizes, self.settings.tile)
        return tile_grid(size, side, halo_for(self.sizes, side))

    def segment(
        self, image: np.ndarray, tell: Tell = lambda done, total: None, keep: Path | None = None
    ) -> Objects:
        """The objects of an image.

        Args:
            image: [H, W, 3] uint8 RGB, or anything that gives windows of it: it has a `shape` and is indexed by slices.
            tell: is told of each window that is done.
            keep: a folder in which the windows of an image of several are kept until it is done, so that an interrupted
                run goes on where it was; it is removed at the end.

        Returns:
            The objects; none where nothing looks like the reference's.

        Raises:
            DataError: the folder cannot be written.
        """
        size = (image.shape[0], image.shape[1])
        tiles = self.tiles(size)
        store = WindowStore(keep if len(tiles) > 1 else None)
        found: list[Found] = []
        calls = 0
        for number, tile in enumerate(tiles, start=1):
            known = store.read(number)
            if known is None:
                known = self.in_tile(np.ascontiguousarray(image[tile.outer]), tile)
                store.write(number, *known)
            found, calls = found + known[0], calls + known[1]
            tell(number, len(tiles))
        store.remove()
        if not found:
            return none_found(size, calls, len(tiles))
        if self.settings.fusion == "average":
            longest = max(max(part.stop - part.start for part in tile.outer) for tile in tiles)
            return average(found, size, self.settings.sigma * longest, calls, len(tiles))
        found = suppress(found, 0.0) if len(tiles) > 1 else found
        return paint(found, size, calls, len(tiles))

    def in_tile(self, pixels: np.ndarray, tile: Tile) -> tuple[list[Found], int]:
        """The objects that a window owns, and some around its core, in pixels of the whole image; decoder calls.

        Args:
            pixels: [h, w, 3] uint8 RGB of the window.
            tile: where it lies.
        """
        found, calls = find_objects(
            self.look(pixels), self.pipeline.backbones.segmenter, self.sizes, self.settings, self.tuning
        )
        margin = 0.25 * self.sizes.median  # two windows may put the seed of one object on both sides of a cut
        moved = [_moved(one, tile.outer[0].start, tile.outer[1].start) for one in found]
        return [one for one in moved if _owns(tile, one.xy, margin)], calls

    def probability(self, image: np.ndarray) -> np.ndarray:
        """The prior over a whole image, put together from the windows' cores.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            [H, W] float32 in [0, 1].
        """
        whole = np.zeros(image.shape[:2], dtype=np.float32)
        for tile in self.tiles((image.shape[0], image.shape[1])):
            view = self.look(np.ascontiguousarray(image[tile.outer]))
            fine = 1 / (1 + np.exp(-resample(view.logits, view.size)))
            whole[tile.core] = fine[
                tile.core[0].start - tile.outer[0].start : tile.core[0].stop - tile.outer[0].start,
                tile.core[1].start - tile.outer[1].start : tile.core[1].stop - tile.outer[1].start,
            ]
        return whole

    def with_settings(self, settings: ObjectsConfig) -> InstanceSegmenter:
        """The same, fitted likewise, with other settings of `ObjectsConfig` that do not change the windows."""
        other = copy.copy(self)
        other.settings = settings
        return other

    def _look(self, pixels: np.ndarray) -> View:
        """What the models see of a picture [h, w, 3] uint8 RGB."""
        score_map = self.pipeline.prompter.score_map(pixels)
        assert score_map.detail is not None, "made by the prior"
        return View(score_map.detail, self.pipeline.backbones.embedding(pixels))

    def run_digest(self) -> str:
        """Names everything that shapes the objects of an image."""
        return digest(self.pipeline.prompt_digest(), self.settings, self.sizes, self.tuning)


def _moved(one: Found, top: int, left: int) -> Found:
    """An object of a window in pixels of the whole image."""
    rows, columns = one.window
    window = slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left)
    return Found(window, one.mask, one.score, (one.xy[0] + left, one.xy[1] + top), one.source)


def _owns(tile: Tile, xy: tuple[float, float], margin: float) -> bool:
    """Whether a point (x, y) lies in the core of a tile or next to it."""
    places = zip(xy[::-1], tile.core, strict=True)
    return all(part.start - margin <= place < part.stop + margin for place, part in places)
