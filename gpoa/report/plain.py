"""The report of one folder of masks, without other methods to compare with: plain words. Each function returns HTML.

Legend: `known` are merged rows that have an IoU (`gpoa.report.data.scored`). A row counts as there where its mask could
be compared; the others (missing, unreadable, of another size) have the worst scores.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpoa.report.data import Report, Row, key_of, mean_over_images
from gpoa.report.html import Column, Line, decimal, paragraph, table, text

_SCORES = {
    "iou": "Mean IoU",
    "dice": "Dice",
    "boundary_iou": "Boundary IoU",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "hd95": "HD95, px",
    "assd": "ASSD, px",
}
CONVENTIONS = {
    "means": "over images",
    "missing or unusable masks": (
        "count as 0 in every score, and as the image diagonal in distances, where the table says so"
    ),
    "undefined or infinite values": "are left out of the means",
}


def plain_lead(report: Report, known: Sequence[Row]) -> str:
    """The result as a few figures: with missing masks counted as 0, and over the masks that are there."""
    there = _there(known)
    gone = len(known) - len(there)
    figures = [(known, f"mean IoU over {_images(len(known))}")]
    if gone:
        figures = [(known, f"mean IoU over all {_images(len(known))}, {gone} missing or unusable counted as 0")]
        figures += [(there, f"mean IoU over the {len(there)} masks that are there")] if there else []
    tiles = "".join(
        f"<li><b>{decimal(mean_over_images(rows, 'iou'))}</b><span>{text(label)}</span></li>" for rows, label in figures
    )
    return f'<ul class="figures">{tiles}</ul>{plain_remarks(report)}'


def plain_remarks(report: Report) -> str:
    """What a reader must know before the numbers."""
    return "".join(paragraph(remark, "warning") for remark in report.remarks)


def plain_headline(known: Sequence[Row]) -> str:
    """All mean scores, in one line, or in two where masks are missing."""
    there = _there(known)
    lines = [("all images", known)]
    if len(there) < len(known):
        lines = [("all images, missing or unusable masks counted as 0", known)]
        lines += [("the masks that are there", there)] if there else []
    names = [name for name in _SCORES if any(row[name] is not None for row in known)]
    cells = [
        Line([text(label), str(len(rows)), *(_cell(rows, name) for name in names)], rows is known)
        for label, rows in lines
    ]
    columns = [Column("Mean over", False), Column("Images"), *(Column(_SCORES[name]) for name in names)]
    return table("Scores", columns, cells)


def plain_unsure(known: Sequence[Row], count: int = 20) -> str:
    """The images that a user should look at first, least sure first; nothing without confidences."""
    own = sorted(
        (row for row in known if row["confidence"] is not None), key=lambda row: (row["confidence"], key_of(row))
    )
    lines = [Line([text(row["image"]), decimal(row["confidence"]), decimal(row["iou"])]) for row in own[:count]]
    columns = [Column("Image", False), Column("Confidence"), Column("IoU")]
    return table(f"Least sure first: {len(lines)} of {_images(len(own))}", columns, lines) if lines else ""


def _there(known: Sequence[Row]) -> list[Row]:
    """The rows whose masks could be compared."""
    return [row for row in known if row["status"] != "failed"]


def _images(count: int) -> str:
    return f"{count} image" + "s" * (count != 1)


def _cell(rows: Sequence[Row], name: str) -> str:
    """One mean."""
    return decimal(mean_over_images(rows, name), 1 if name in ("hd95", "assd") else 3)
