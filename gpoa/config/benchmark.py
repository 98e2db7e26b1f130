"""What a benchmark runs."""

from __future__ import annotations

from dataclasses import dataclass

from gpoa.config.names import check


@dataclass(frozen=True)
class BenchmarkConfig:
    """What a benchmark runs."""

    methods: tuple[str, ...] = ()
    """Methods to compare; default: gpoa, its initial prompts, and all other methods."""
    references: int = 3
    """Reference images per class, up to three: the first, middle and last by name."""
    targets: int = 20
    """Maximum number of target images per reference, in name order."""
    seeds: tuple[int, ...] = (0,)
    """Random seeds; deterministic methods run once."""
    workers: int = 0
    """Worker processes; 0 means one per core."""

    def __post_init__(self) -> None:
        check(
            (1 <= self.references <= 3, f"--references {self.references}: from 1 to 3"),
            (self.targets >= 1, f"--targets {self.targets}: at least 1"),
            (len(self.seeds) >= 1, "--seeds: at least one"),
            (self.workers >= 0, f"--workers {self.workers}: 0 or more"),
        )
