"""The tests that fsspec has for every file system: copy, get, put, open, pipe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from mstbucket.fsspec import MstBucketFileSystem


class Fixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, fs: MstBucketFileSystem) -> MstBucketFileSystem:
        return fs

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *pieces: "/".join(pieces)

    @pytest.fixture
    def fs_path(self) -> str:
        return "things/here"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, Fixtures):
    pass


class TestGet(AbstractGetTests, Fixtures):
    pass


class TestPut(AbstractPutTests, Fixtures):
    pass


class TestOpen(AbstractOpenTests, Fixtures):
    pass


class TestPipe(AbstractPipeTests, Fixtures):
    pass
