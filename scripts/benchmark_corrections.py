"""What corrections are worth: "correct single images" against "correct and learn", by a simulated annotator.

In each class the first image with its true mask is the example; the folder is segmented, and an annotator who knows the
truth looks at the least confident image, clicks on the centre of its largest error until the mask is good enough, the
clicks for one image are used up, or one made the mask worse (it is undone, and counts), and accepts it. Then

    single   the next least confident image of the same run follows;
    learn    the accepted mask (as it was clicked, not the truth) becomes a further example, the images that are left
             are segmented again, and the least confident of those follows.

Prints the mean IoU of the folder (the example left out) over the clicks that were spent, over classes, and the paired
difference with its 95 % interval (bootstrap over classes). The clicks are those of the page (`gpoa.app.editing`).

    python scripts/benchmark_corrections.py --bench ../shared/bench --output runs/corrections.jsonl

Classes that the output file holds already are not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gpoa.app.editing import Edit
from gpoa.app.references import choose_references
from gpoa.datasets.image_io import load_image
from gpoa.envs.click_oracle import oracle_click, truth_frame
from gpoa.evaluation.metrics import iou, paired_bootstrap
from gpoa.evaluation.protocol import class_episodes, truth_of
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.click_session import ClickSession
from gpoa.pipeline.image import ImagePipeline
from gpoa.runtime.machine import default_cache_folder

CLASSES = (
    *("kvasir", "covid_cxr/heart_mediastinum", "dsb2018/histology_purple", "wbc/ds1_cell", "neu_seg/inclusion"),
    *("brain_tumor_mri", "digital_rock/pore", "camvid/car", "voc10_cls/cat", "voc10_cls/cow"),
)
"""Ten of the held-out classes in split.json's list `quick`."""
GOOD = 0.9
"""The annotator accepts a mask of this IoU without a further click."""
Shot = tuple[np.ndarray, np.ndarray]
Masks = tuple[dict[int, np.ndarray], dict[int, float]]
"""By number of the target: masks [H, W] bool, and confidences."""


def main() -> int:
    """Measures and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--output", type=Path, required=True, help="one line a class and arm")
    parser.add_argument("--classes", nargs="+", default=list(CLASSES))
    parser.add_argument("--images", type=int, default=8, help="images a class, the example among them")
    parser.add_argument("--clicks", type=int, default=3, help="clicks an image at most")
    args = parser.parse_args()
    pipeline = ImagePipeline(cache=EmbeddingCache(default_cache_folder()))
    rows = [json.loads(line) for line in args.output.read_text().splitlines()] if args.output.is_file() else []
    known = {(row["class"], row["arm"]) for row in rows}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    for name in args.classes:
        if (name, "learn") in known:
            continue
        shots = load_class(args.bench / name, args.images)
        first = segment(pipeline, shots[:1], shots[1:], range(len(shots) - 1))
        for arm in ("single", "learn"):
            began = time.process_time()
            curve, looks = annotate(pipeline, shots, first, arm == "learn", args.clicks)
            row = {"class": name, "arm": arm, "curve": [round(value, 5) for value in curve], "looks": looks}
            row["seconds"] = round(time.process_time() - began, 1)
            rows.append(row)
            with args.output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name:<28} {arm:<7} {curve[0]:.3f} -> {curve[-1]:.3f} in {len(curve) - 1} clicks", flush=True)
    print_table([row for row in rows if row["class"] in args.classes])
    return 0


def load_class(folder: Path, images: int) -> list[Shot]:
    """(image, true mask) of the first images of a class, by name."""
    reference, targets = next(iter(class_episodes(folder, 1, images - 1)))
    return [(load_image(one.image_path), truth_of(one)) for one in (reference, *targets)]


def annotate(
    pipeline: ImagePipeline, shots: Sequence[Shot], first: Masks, learn: bool, most: int
) -> tuple[list[float], list[float]]:
    """One annotator's way through a folder.

    Args:
        pipeline: in use.
        shots: the example first.
        first: the masks and confidences of the others after the first run.
        learn: accepted masks become examples.
        most: clicks an image.

    Returns:
        (mean IoU of all images but the example after 0, 1, ... clicks, the same after 0, 1, ... accepted images).
    """
    examples, targets = [shots[0]], list(shots[1:])
    masks, sure = dict(first[0]), dict(first[1])
    score = lambda: float(np.mean([iou(masks[i], truth) for i, (_, truth) in enumerate(targets)]))  # noqa: E731
    curve, looks, left = [score()], [score()], set(range(len(targets)))
    while left:
        index = min(left, key=lambda one: (sure[one], one))
        left.remove(index)
        image, truth = targets[index]

        def after_click(mask: np.ndarray, index: int = index) -> None:
            masks[index] = mask
            curve.append(score())

        correct(pipeline, image, truth, masks[index], most, after_click)
        if learn and masks[index].any() and not masks[index].all():
            examples.append((image, masks[index]))
        if learn and left:
            again, newly = segment(pipeline, choose_references(examples), targets, left)
            masks.update(again)
            sure.update(newly)
            curve[-1] = score()  # what was learned is there before the next click
        looks.append(score())
    return curve, looks


def segment(
    pipeline: ImagePipeline, examples: Sequence[Shot], targets: Sequence[Shot], which: Sequence[int] | set[int] | range
) -> Masks:
    """Masks and confidences of some of the targets."""
    pipeline.fit([image for image, _ in examples], [mask for _, mask in examples])
    found = {index: pipeline.predict(targets[index][0]) for index in which}
    return {i: one.mask for i, one in found.items()}, {i: one.confidence for i, one in found.items()}


def correct(
    pipeline: ImagePipeline, image: np.ndarray, truth: np.ndarray, mask: np.ndarray, most: int,
    after_click: Callable[[np.ndarray], None],
) -> None:  # fmt: skip
    """Oracle clicks on one image, as the page takes them."""
    models = pipeline.backbones
    edit = Edit(mask, lambda: ClickSession(image, models=models))
    target = truth_frame(truth)
    for _ in range(most):
        if iou(edit.mask, truth) >= GOOD:
            return
        click = oracle_click(target, truth_frame(edit.mask), edit.size)
        if click is None:
            return
        before = iou(edit.mask, truth)
        edit.click(click.x, click.y, click.label)
        is_worse = iou(edit.mask, truth) < before
        if is_worse:
            edit.undo()
        after_click(edit.mask)
        if is_worse:
            return


def print_table(rows: Sequence[dict]) -> None:
    """The two curves over clicks and over accepted images, and their difference."""
    arms = {arm: {row["class"]: row for row in rows if row["arm"] == arm} for arm in ("single", "learn")}
    classes = sorted(set(arms["single"]) & set(arms["learn"]))
    if not classes:
        return
    print(f"\n{len(classes)} classes, {sum(row['seconds'] for row in rows):.0f} s of CPU")
    for kind, unit in (("curve", "clicks"), ("looks", "accepted images")):
        longest = max(len(arms[arm][name][kind]) for arm in arms for name in classes) - 1
        steps = sorted({0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, longest} & set(range(longest + 1)))
        table = {arm: np.array([padded(arms[arm][n][kind], longest) for n in classes]) for arm in arms}
        print(f"\n{unit:>16} {'single':>8} {'learn':>8}   learn - single (95 %)")
        for step in steps:
            print_row(str(step), table["single"][:, step], table["learn"][:, step])
        print_row("mean of all", table["single"].mean(axis=1), table["learn"].mean(axis=1))


def print_row(name: str, single: np.ndarray, learn: np.ndarray) -> None:
    """One line of a table: means over classes, and the paired difference."""
    mean, low, high = paired_bootstrap(learn - single, seed=0)
    print(f"{name:>16} {single.mean():8.3f} {learn.mean():8.3f}   {mean:+.3f} ({low:+.3f} to {high:+.3f})")


def padded(values: Sequence[float], longest: int) -> list[float]:
    """A curve that stays at its last value."""
    return [*values, *[values[-1]] * (longest + 1 - len(values))]


if __name__ == "__main__":
    sys.exit(main())
