"""What the number libraries are told of waiting."""

from __future__ import annotations

import os

import pytest

from gpoa.runtime.threads import wait_without_spinning

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OPENBLAS_THREAD_TIMEOUT")


@pytest.mark.parametrize(
    "said, told",
    [
        ({}, ["PASSIVE", "0", "0", "4"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None, None, "4"]),  # one word about OpenMP is a word about all
        ({"KMP_BLOCKTIME": "200"}, [None, None, "200", "4"]),
        ({"OPENBLAS_THREAD_TIMEOUT": "20"}, ["PASSIVE", "0", "0", "20"]),
    ],
)
def test_only_what_the_user_has_not_said(monkeypatch: pytest.MonkeyPatch, said: dict[str, str], told: list[str | None]):
    for name in NAMES:
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    wait_without_spinning()
    assert [os.environ.get(name) for name in NAMES] == told
