"""Fixtures shared by the tests; the environment is set in the conftest.py above."""

from __future__ import annotations

import pytest


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A data cache with nothing in it."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TLCOURSE_CACHE", str(folder))
    return folder
