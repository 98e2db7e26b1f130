"""Node and edge types of the prompt graph; every graph has all of them, possibly with zero rows.

PyG's `HeteroConv` drops types without edges, and `Batch` fails on a key that one graph lacks; so nothing is ever left
out.
"""

from __future__ import annotations

NODE_TYPES = ("pos", "neg", "dense", "box", "group", "output", "folder")
POINT_TYPES = ("pos", "neg")
REGION_TYPES = ("dense", "box", "folder")

DISTANCE_EDGES = tuple(
    (source, relation, target)
    for relation in ("feature", "physical")
    for source in POINT_TYPES
    for target in POINT_TYPES
)
"""Nearest points within and across labels; edge_attr = (feature distance, physical distance)."""
REGION_EDGES = tuple(
    edge
    for region in REGION_TYPES
    for point in POINT_TYPES
    for edge in ((region, "covers", point), (point, "covered_by", region))
)
"""Regions and all points; edge_attr = (1 where the point lies in the region, the region's level)."""
GROUP_EDGES = tuple(edge for point in POINT_TYPES for edge in ((point, "in", "group"), ("group", "holds", point)))
"""Groups and their members; edge_attr = (0, 0)."""
OUTPUT_EDGES = (("dense", "prompts", "output"), ("output", "answers", "dense"))
"""Every dense prompt and every output; edge_attr = (0, the dense prompt's level)."""
EDGE_TYPES = DISTANCE_EDGES + REGION_EDGES + GROUP_EDGES + OUTPUT_EDGES
EDGE_FEATURES = 2

NODE_FEATURES = (
    "active",
    "rank",
    "level",
    "support",
    "score",
    "mask",
    "logit",
    "reproduced",
    "contrast",
    "segmenter_contrast",
    "segmenter_score",
    "folder_score",
    "from_folder",
    "disagreement",
    "sign",
    "toggled_last",
)
"""Per node: is it on; its rank; its level; share of the image that it speaks about; then means over its support of the
score map, the mask, its logits, the mask reproduced from the features, the contrast, contrast and score in the
segmenter's embedding, and the folder's score map; whether it was made from that map; how far the mask departs from what
the node asks for; +1 for foreground, -1 for background prompts; whether the last action was this node."""
