"""A file system over the test's store, and a bucket in it."""

from __future__ import annotations

import pytest

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem


@pytest.fixture
def fs(store: mstbucket.Store) -> MstBucketFileSystem:
    """The file system of the open store, which holds the bucket `things`."""
    store.create_bucket("things")
    return MstBucketFileSystem(store, skip_instance_cache=True)
