"""Annotations of other programs as masks: COCO, YOLO, Label Studio, CVAT, ImageJ; `reading` tells them apart."""
