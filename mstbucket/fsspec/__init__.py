"""A store as a file system of fsspec. By it pandas, pyarrow, zarr and their like open `mstbucket://bucket/key`.

It is an edge above the public API. It holds no rule of S3 and no SQL; `spec/store/30-fsspec.md` says what it does.
"""

from __future__ import annotations

from mstbucket.fsspec.stores import close_stores
from mstbucket.fsspec.system import MstBucketFileSystem

__all__ = ["MstBucketFileSystem", "close_stores"]
