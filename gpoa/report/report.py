"""One HTML file with everything that an evaluation found: it opens from disk, loads nothing, and prints.

`write_report` is the whole interface; `choose_cases` says beforehand of which images it wants pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gpoa.evaluation.protocol import TIE
from gpoa.evaluation.summary import Duel
from gpoa.report.calibration import calibration_section
from gpoa.report.cases import choose_cases, galleries
from gpoa.report.compare import (
    class_section,
    distribution_section,
    groups_of,
    headline_section,
    loss_section,
)
from gpoa.report.data import Case, Group, Report, Row, Standing, key_of, merge_seeds, scored, standings
from gpoa.report.html import decimal, definitions, folded, paragraph, percent, text
from gpoa.report.page import PagePart, render_page
from gpoa.report.plain import CONVENTIONS as PLAIN_CONVENTIONS
from gpoa.report.plain import plain_headline, plain_lead, plain_remarks, plain_unsure
from gpoa.report.sections import before_after_section, time_section, unscored_section
from gpoa.runtime.atomic import write_atomic

__all__ = ["Case", "Group", "Report", "Row", "choose_cases", "render_report", "write_report"]
UNSCORED = "No ground truth was given, so nothing was scored: this report shows confidences, areas and pictures only."
_CONVENTIONS = {
    "means": "scores: over the images of a class, the classes of a set, the sets; calls and seconds: over images",
    "seeds": "an image that was measured with several seeds counts once, with the mean of its values",
    "failed images": "count as 0 in every score but the distances, from which they are left out unless the row has one",
    "undefined or infinite values": "are left out of the means",
}


def write_report(report: Report, path: Path) -> Path:
    """Writes the report as one HTML file, atomically.

    Args:
        report: what to show. Without any IoU in its rows the page has confidences, areas and pictures only, and says
            so.
        path: the file.

    Returns:
        The path.

    Raises:
        DataError: the file cannot be written.
    """
    # Names that are no valid Unicode (undecodable file names) are shown with backslashes.
    write_atomic(Path(path), render_report(report).encode("utf-8", "backslashreplace"))
    return Path(path)


def render_report(report: Report) -> str:
    """The page as text; see `write_report`."""
    merged = merge_seeds(report.rows)
    known = scored(merged)
    if known and report.is_plain:
        lead, parts = plain_lead(report, known), _plain_parts(report, merged, known)
    elif known:
        found = [(group, standings(scored(known, group.classes), report.ours)) for group in groups_of(report, known)]
        lead, parts = _lead(report, merged, known, *found[0]), _scored_parts(report, merged, known, found)
    else:
        lead, parts = paragraph(UNSCORED, "warning") + plain_remarks(report), _unscored_parts(report, merged)
    return render_page(report.title, lead, [*parts, *_appendix(report, bool(known))])


def _comparable(known: Sequence[Row]) -> bool:
    """Whether there is more than one class or one method to set side by side."""
    return len({(row["class"], row["method"]) for row in known}) > 1


def _scored_parts(
    report: Report, merged: Sequence[Row], known: Sequence[Row], found: Sequence[tuple[Group, Sequence[Standing]]]
) -> list[PagePart]:
    """The sections of a report with ground truth."""
    return [
        PagePart("headline", "Headline", headline_section(report, known, found)),
        PagePart("losses", "Where we win and lose", loss_section(report, known)),
        PagePart("distributions", "Distributions", distribution_section(report, known)),
        PagePart("classes", "Classes", class_section(report, known) if _comparable(known) else ""),
        PagePart("agent", "Before and after the agent", before_after_section(report, known)),
        PagePart("calibration", "Confidence and true IoU", calibration_section(report, known)),
        PagePart("gallery", "Pictures", galleries(report, has_truth=True)),
        PagePart("time", "Time", time_section(report, merged)),
    ]


def _plain_parts(report: Report, merged: Sequence[Row], known: Sequence[Row]) -> list[PagePart]:
    """The sections of a report with ground truth and nothing to compare with."""
    return [
        PagePart("headline", "Scores", plain_headline(known) + plain_unsure(known)),
        PagePart("distributions", "Distribution", distribution_section(report, known)),
        PagePart("calibration", "Confidence and true IoU", calibration_section(report, known)),
        PagePart("gallery", "Pictures", galleries(report, has_truth=True)),
        PagePart("time", "Time", time_section(report, merged)),
    ]


def _unscored_parts(report: Report, merged: Sequence[Row]) -> list[PagePart]:
    """The sections of a report without ground truth."""
    return [
        PagePart("found", "What was found", unscored_section(report, merged)),
        PagePart("gallery", "Pictures", galleries(report, has_truth=False)),
        PagePart("time", "Time", time_section(report, merged)),
    ]


def _appendix(report: Report, has_truth: bool) -> list[PagePart]:
    """What is needed to read the numbers and to get them again."""
    ours = PLAIN_CONVENTIONS if report.is_plain else _CONVENTIONS
    conventions = {**report.conventions, **(ours if has_truth else {})}
    methods = []
    for name in dict.fromkeys((*report.methods, *(row["method"] for row in report.rows))):
        about = report.methods.get(name, {})
        words = [about.get("description", ""), f"Source: {about['source']}" if about.get("source") else ""]
        methods.append((report.name(name), " ".join(filter(None, words)) or "no description"))
    config = json.dumps(report.config, indent=2, ensure_ascii=False, default=str)
    command = f"<pre><code>{text(report.command)}</code></pre>" if report.command else ""
    return [
        PagePart("conventions", "Conventions", definitions(conventions.items())),
        PagePart("methods", "Masks" if report.is_plain else "Methods", definitions(methods)),
        PagePart("reproduce", "How to reproduce", command + definitions(report.environment.items())),
        PagePart("notes", "Notes", "".join(paragraph(note) for note in report.notes)),
        PagePart("config", "Configuration", folded("Full configuration (JSON)", config) if report.config else ""),
        PagePart("cards", "Model cards", "".join(folded(name, card) for name, card in report.cards.items())),
    ]


def _lead(report: Report, merged: Sequence[Row], known: Sequence[Row], group: Group, found: Sequence[Standing]) -> str:
    """The first group's result as a few figures, and what the report covers."""
    by_method = {one.method: one for one in found}
    if report.ours not in by_method:
        return paragraph(f"{report.name(report.ours)} has no scored image in {group.title}.", "warning")
    ours = by_method[report.ours]
    others = [(one, one.duel) for one in found if one.duel is not None and one.method != report.start]
    figures = [(decimal(ours.means["iou"]), f"mean IoU of {report.name(report.ours)}, {ours.images} images")]
    figures += [_against(duel, f"against {report.name(one.method)}, the best other") for one, duel in others[:1]]
    start = by_method.get(report.start) if report.start else None
    if start is not None and start.duel is not None:
        figures.append(_against(start.duel, f"against {report.name(start.method)}, before the agent"))
        figures.append(
            (percent(start.duel.share_lost), f"of the images worse than before the agent by more than {TIE}")
        )
    if ours.means["seconds"] is not None:
        calls = "" if ours.means["calls"] is None else f", {decimal(ours.means['calls'], 1)} decoder calls"
        figures.append((f"{decimal(ours.means['seconds'], 2)} s", f"an image{calls}"))
    tiles = "".join(f"<li><b>{text(value)}</b><span>{text(label)}</span></li>" for value, label in figures)
    classes, images = len({row["class"] for row in known}), len({key_of(row) for row in known})
    words = (
        f"{group.title}; differences are of mean IoU. The whole report: classes {classes}, images {images} (an image "
    )
    words += "counts once for each reference)."
    return f'{paragraph(words)}<ul class="figures">{tiles}</ul>{_left_out(report, merged, known)}'


def _against(one: Duel, label: str) -> tuple[str, str]:
    """A difference and its interval as a figure."""
    low, high = (decimal(value, 3, sign=True) for value in (one.low, one.high))
    return decimal(one.difference, 3, sign=True), f"{label} (95 % interval {low} to {high})"


def _left_out(report: Report, merged: Sequence[Row], known: Sequence[Row]) -> str:
    """A word on images without ground truth, and on methods that lack images."""
    images = {key_of(row) for row in known}
    without = {key_of(row) for row in merged} - images
    words = [f"{len(without)} images have no ground truth and are not scored."] if without else []
    for method in dict.fromkeys(row["method"] for row in merged):
        count = len(images - {key_of(row) for row in known if row["method"] == method})
        words += [f"{report.name(method)} has no row for {count} of the {len(images)} scored images."] if count else []
    return paragraph(" ".join(words), "note") if words else ""
