"""The contract of the ports as inherited test classes, for whoever writes a backend of their own. Needs pytest.

    class TestMyBlobs(BlobStoreContract):
        @pytest.fixture
        def medium(self, tmp_path):
            return MyMedium(tmp_path)  # a `BlobMedium`

No test of a contract may be overridden or skipped: a backend that cannot pass one is not a backend.
"""

from __future__ import annotations

import pytest

# Before they are imported, so that a test that fails shows the values that differ.
pytest.register_assert_rewrite("mstbucket.testing.blobs", "mstbucket.testing.writing")

from mstbucket.testing.blobs import BlobStoreContract  # noqa: E402
from mstbucket.testing.medium import BlobMedium  # noqa: E402

__all__ = ["BlobMedium", "BlobStoreContract"]
