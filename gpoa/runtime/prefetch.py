"""Images read, and where it pays encoded together, by a second thread while the one before them is worked on.

Decoding a picture and running an encoder release the interpreter's lock, so both go on beside the search for prompts.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpoa.errors import one_line
from gpoa.types import Sample

logger = logging.getLogger(__name__)

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Plan:
    """How far to look ahead.

    Args:
        groups: groups of images that are made ready beside the one that is worked on; 0 opens every image in its turn.
        together: images in a group.
    """

    groups: int = 0
    together: int = 1


def plan_for(device: str, together: int) -> Plan:
    """What pays on a device.

    Args:
        device: a name as torch knows it.
        together: how many images its encoders take in one pass.

    Returns:
        The plan. A CPU has no core to spare for a second thread: over 16 cached images on two cores, reading ahead took
        as long as reading in turn, within the noise.
    """
    if device.startswith("cpu"):
        return Plan()
    # Backbones without a cache keep what their latest two calls made: the group at hand and the next one.
    return Plan(groups=4) if together == 1 else Plan(groups=1, together=together)


class ReadAhead(Generic[Opened]):
    """Samples in their order, each opened by the time that its turn comes.

        with ReadAhead(samples, load, Plan(groups=4)) as ahead:
            for sample in ahead:
                image = ahead.take()      # or raises what opening this sample raised

    At most `(groups + 1) * together` opened samples are held.

    Args:
        samples: what to open; may block only where `waiting` says so.
        open_one: opens a sample; called once for each, in order, by one thread at a time.
        plan: how far to look ahead.
        encode: is handed the opened samples of a group, in the second thread; where it fails, the turn of each sample
            says so again.
        waiting: False where the next of `samples` is not known yet; it is then asked for when nothing else is left.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        open_one: Callable[[Sample], Opened],
        plan: Plan = Plan(),
        encode: Callable[[Sequence[Opened]], None] = lambda opened: None,
        waiting: Callable[[], bool] = lambda: True,
    ) -> None:
        self._samples, self._open_one, self._plan = samples, open_one, plan
        self._encode, self._waiting = encode, waiting
        self._take: Callable[[], Opened] | None = None
        self._closed = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gpoa-read-ahead") if plan.groups else None

    def __enter__(self) -> ReadAhead[Opened]:
        return self

    def __exit__(self, *error: object) -> None:
        """Stops reading; the picture that is being read now is finished in the background."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def __iter__(self) -> Iterator[Sample]:
        if self._pool is None:
            for sample in self._samples:
                self._take = functools.partial(self._open_one, sample)
                yield sample
            return
        source = iter(self._samples)
        pending: deque[tuple[list[Sample], Future[list[Opened | Exception]]]] = deque()
        while True:
            self._fill(self._pool, pending, source)
            if not pending:
                return
            group, future = pending.popleft()
            for place, sample in enumerate(group):
                self._take = functools.partial(_result, future, place)
                yield sample

    def take(self) -> Opened:
        """What `open_one` made of the sample at hand.

        Raises:
            Exception: what `open_one` raised.
        """
        assert self._take is not None, "iterate first"
        return self._take()

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        pending: deque[tuple[list[Sample], Future[list[Opened | Exception]]]],
        source: Iterator[Sample],
    ) -> None:
        """Hands groups to the second thread until enough are pending."""
        while len(pending) <= self._plan.groups and (not pending or self._waiting()):
            group = list(itertools.islice(source, 1))
            while group and len(group) < self._plan.together and self._waiting():
                more = list(itertools.islice(source, 1))
                if not more:
                    break
                group += more
            if not group:
                return
            pending.append((group, pool.submit(self._open_group, group)))

    def _open_group(self, group: Sequence[Sample]) -> list[Opened | Exception]:
        """Opens and encodes a group; errors are kept for the turn of their sample."""
        made: list[Opened | Exception] = []
        for sample in group:
            if self._closed:
                break
            try:
                made.append(self._open_one(sample))
            except Exception as error:
                made.append(error)
        usable = [one for one in made if not isinstance(one, Exception)]
        if usable and not self._closed:
            try:
                self._encode(usable)
            except Exception as error:
                logger.debug("encoding ahead failed (%s); each image is encoded in its turn", one_line(error))
        return made


def _result(future: Future[list[Opened | Exception]], place: int) -> Opened:
    """One sample's part of an opened group."""
    made = future.result()[place]
    if isinstance(made, Exception):
        raise made
    return made
