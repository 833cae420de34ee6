"""The contract of blob stores on a real S3 service: [BLOB-1], [BLOB-2], [BLOB-4], [BLOB-5], [BLOB-7] to [BLOB-9]."""

from __future__ import annotations

from typing import Any

import pytest

from mstbucket.testing import BlobMedium, BlobStoreContract

pytestmark = pytest.mark.s3


class TestS3(BlobStoreContract):
    @pytest.fixture
    def medium(self, corner: Any) -> BlobMedium:
        medium: BlobMedium = corner
        return medium
