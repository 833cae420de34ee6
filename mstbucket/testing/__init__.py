"""The contract of the ports as inherited test classes, for whoever writes a backend of their own. Needs pytest.

    class TestMyBlobs(BlobStoreContract):
        @pytest.fixture
        def medium(self, tmp_path):
            return MyMedium(tmp_path)  # a `BlobMedium`

No test of a contract may be overridden or skipped: a backend that cannot pass one is not a backend.

And blob stores around others, for whoever wants to see what their own program does when the medium is bad:

    blobs = FaultyBlobs(MemoryBlobs(), Faults(seed=1, error=0.2, lost=0.05))
    store = mstbucket.open(database=…, blobs=SlowBlobs(blobs, Latency(call=0.05)))
"""

from __future__ import annotations

import pytest

# Before they are imported, so that a test that fails shows the values that differ.
pytest.register_assert_rewrite("mstbucket.testing.blobs", "mstbucket.testing.writing")

from mstbucket.testing.blobs import BlobStoreContract  # noqa: E402
from mstbucket.testing.faults import Faults, FaultyBlobs  # noqa: E402
from mstbucket.testing.medium import BlobMedium  # noqa: E402
from mstbucket.testing.slow import Latency, SlowBlobs  # noqa: E402

__all__ = ["BlobMedium", "BlobStoreContract", "Faults", "FaultyBlobs", "Latency", "SlowBlobs"]
