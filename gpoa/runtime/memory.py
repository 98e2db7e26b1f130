"""How many items a device's memory holds at once, and what is done where it holds fewer."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gpoa.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import torch

logger = logging.getLogger(__name__)

MOST = 16
"""Never more items in one call: beyond, a GPU is busy anyway."""
SHARE = 0.7
"""Of the free memory that a batch is planned for."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def batch_size_for(device: str, bytes_per_image: int, default_on_cpu: int = 1) -> int:
    """How many images to send through a model together.

    Args:
        device: torch device.
        bytes_per_image: what one image needs while it is computed.
        default_on_cpu: the answer where the device is no CUDA device.

    Returns:
        From 1 to `MOST` on CUDA, by the memory that is free there (what torch holds without using it is free, too).
    """
    import torch

    if torch.device(device).type != "cuda":
        return default_on_cpu
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(MOST, int(free * SHARE) // bytes_per_image))


def upload(array: np.ndarray, device: str) -> torch.Tensor:
    """Brings an array to a device; to CUDA through pinned memory and without waiting for the copy.

    Args:
        array: any shape and type that torch knows.
        device: torch device.

    Returns:
        The tensor there.
    """
    import torch

    tensor = torch.from_numpy(array)
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def if_it_fits(call: Callable[[], Answer], count: int, device: str, alone: str) -> Answer | None:
    """What a call returns, or None where the device's memory does not hold so many items.

    Args:
        call: works on all items together.
        count: how many there are.
        device: torch device.
        alone: what to call a single item that does not fit, in the message.

    Raises:
        ModelError: there is one item only, and it does not fit.
    """
    import torch

    try:
        return call()
    except torch.cuda.OutOfMemoryError as error:
        if count == 1:
            remedy = "free the device or take --models.device cpu"
            raise ModelError(f"{device}: out of memory with {alone}; {remedy}") from error
        return None


def give_memory_back(device: str, failed: int, noun: str, say_so: bool) -> None:
    """Empties torch's reserve after `failed` items did not fit, and says that it goes on with fewer.

    Args:
        device: torch device.
        failed: how many items were tried together.
        noun: what they are.
        say_so: False where it was said before.
    """
    import torch

    if say_so:
        logger.warning("%s: out of memory with %d %s a call; going on with fewer", device, failed, noun)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Batches:
    """Runs a call over items in batches that fit into the device's memory.

    A batch that does not fit is halved, which one warning says, and later batches stay at the size that fitted.

    Args:
        device: torch device.
        bytes_per_item: what one item needs while it is computed.
        noun: what the items are, for messages.
        on_cpu: items a call where the device is no CUDA device.
    """

    def __init__(self, device: str, bytes_per_item: int, noun: str = "images", on_cpu: int = 1) -> None:
        self.device, self.bytes_per_item, self.noun, self.on_cpu = device, bytes_per_item, noun, on_cpu
        self._limit: int | None = None

    @property
    def size(self) -> int:
        """How many items go into the next call."""
        size = batch_size_for(self.device, self.bytes_per_item, self.on_cpu)
        return size if self._limit is None else min(size, self._limit)

    def of_several(self, items: int) -> Batches:
        """The same for things that are made of several of these items."""
        return Batches(self.device, self.bytes_per_item * items, self.noun, max(1, self.on_cpu // items))

    def run(self, items: Sequence[Item], call: Callable[[list[Item]], list[Any]]) -> list[Any]:
        """Answers all items.

        Args:
            items: any number.
            call: answers a list of items with a list as long.

        Returns:
            One answer an item.

        Raises:
            ModelError: the device's memory does not hold one item.
        """
        answers: list[Any] = []
        while len(answers) < len(items):
            part = list(items[len(answers) : len(answers) + self.size])
            made = if_it_fits(functools.partial(call, part), len(part), self.device, f"one of the {self.noun} alone")
            if made is None:  # only here, with the error gone, are the failed call's tensors free
                give_memory_back(self.device, len(part), self.noun, say_so=self._limit is None)
                self._limit = len(part) // 2
                continue
            answers.extend(made)
        return answers
