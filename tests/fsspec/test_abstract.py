"""The tests that fsspec has for every file system: copy, get, put, open, pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem


@pytest.fixture(scope="module")
def shared(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MstBucketFileSystem]:
    """One store for all of them: they clean up, as they do on a service."""
    name = databases.create(template)
    blobs = tmp_path_factory.mktemp("blobs")
    with mstbucket.open(database=databases.url(name), blobs=blobs, background=False) as store:
        store.create_bucket("things")
        yield MstBucketFileSystem(store, skip_instance_cache=True)
    databases.remove(name)


class Fixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, shared: MstBucketFileSystem) -> Iterator[MstBucketFileSystem]:
        yield shared
        if shared.exists("things/here"):
            shared.rm("things/here", recursive=True)

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
