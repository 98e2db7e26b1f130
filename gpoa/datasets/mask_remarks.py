"""What to say of a reference mask that can be used: how much it covers, by which rule, and what looks like a
mistake."""

from __future__ import annotations

import numpy as np

from gpoa.datasets.mask_io import list_values
from gpoa.datasets.mask_values import Foreground
from gpoa.datasets.options import NO_OPTIONS, MaskOptions

PLAIN_RULE = "every value above 0 counts"
MOST = 0.5
"""A mask that covers more of its image may be the background by mistake."""
FEW = 0.0005
"""A mask that covers less of its image may be stray pixels."""


def describe_mask(found: Foreground, options: MaskOptions = NO_OPTIONS, name: str = "") -> list[str]:
    """The lines that a user should read before the mask is used.

    Args:
        found: the mask, and how it was read.
        options: what the user chose.
        name: of the mask, where there are several.

    Returns:
        First the share of the image that is object; then one line for each thing that looks like a mistake.
    """
    head = f"reference mask {name}:" if name else "reference mask:"
    share = float(found.mask.mean())
    lines = [f"{head} {_percent(share)} of the image is object{_rule(found)}"]
    if len(found.ids) > 1:
        ids = f"{len(found.ids)} ids ({list_values(found.ids)})"
        lines.append(f"{head} it holds {ids}, all taken as object; --label {found.ids[0]:.10g} takes one of them")
    if share > MOST and not options.invert_mask:
        lines.append(f"{head} it covers most of the image; if it marks the background, --invert-mask turns it round")
    if found.brightest < 64 and found.rule.startswith("values from"):
        lines.append(f"{head} its brightest value is {found.brightest:g} of 255: if this is noise, the mask is empty")
    elif share < FEW:
        pixels = int(np.count_nonzero(found.mask))
        lines.append(f"{head} only {pixels} pixel{'s' * (pixels != 1)}: if these are noise, the mask is empty")
    elif _is_outline(found.mask):
        lines.append(f"{head} it looks like an outline; fill it if the object is what lies inside")
    return lines


def _percent(share: float) -> str:
    """7.4 %; more digits where little is covered."""
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def _rule(found: Foreground) -> str:
    """The rule and the value, unless the mask is of 0 and full white and says so itself."""
    if found.rule != PLAIN_RULE or len(found.ids) != 1:
        return f" ({found.rule})"
    return "" if found.ids[0] in (255, 65535) else f" ({found.rule}, the values are 0 and {found.ids[0]:.10g})"


def _is_outline(mask: np.ndarray) -> bool:
    """Whether it encloses twice as many pixels as it marks: a drawn line, or a very thin ring."""
    from scipy import ndimage

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if 3 * np.count_nonzero(box) > box.size:
        return False  # cannot enclose that much
    outside, _ = ndimage.label(~np.pad(box, 1))
    inside = np.count_nonzero((outside != outside[0, 0]) & (outside > 0))
    return inside > 2 * np.count_nonzero(box)
