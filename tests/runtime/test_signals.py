"""SIGTERM and SIGHUP are ctrl-C inside."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gpoa.runtime.signals import ENDING, ending_signals


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_an_interrupt_inside_and_itself_again_after(number: int) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), ending_signals():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_two_signals_at_once_are_one_interrupt() -> None:
    """The second one does not end what the first one had written."""
    interrupted = 0
    with ending_signals():
        for number in ENDING:
            try:
                os.kill(os.getpid(), number)
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted == 1


def test_an_ignored_signal_stays_ignored() -> None:
    """As `nohup` leaves it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_may_use_it() -> None:
    """Only the main thread has signals."""
    done = []

    def use() -> None:
        with ending_signals():
            done.append(True)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert done == [True]
