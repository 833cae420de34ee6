"""The rows and the machine of `tests/services/s3semantics` over HTTP: a store that is boto3 before two gateways."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from httperrors import CannotSay
from httprows import LONG, OTHERWISE, UNSAID
from httpstore import HttpStore, watch
from s3pair import PART_SIZE_MIN

import mstbucket
from mstbucket.limits import CHUNK_SIZE

LIMITED = [str(Path(__file__).with_name("limited.py"))]
#: As the rows and the machine set them where they call the library.
LIMITS = {
    "mstbucket.core.body_builder.PUT_SIZE_MAX": 2 * CHUNK_SIZE,
    "mstbucket.core.s3rules.parts.PART_SIZE_MIN": PART_SIZE_MIN,
}
ROOT = {"MSTBUCKET_ROOT_ACCESS_KEY": "second", "MSTBUCKET_ROOT_SECRET_KEY": "of the second"}

Opened = Callable[[], HttpStore]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and getattr(item, "originalname", "") in LONG:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    name = pyfuncitem.name
    if name in UNSAID:
        with pytest.raises(CannotSay, match=re.escape(UNSAID[name])):
            yield
        return True
    if name in OTHERWISE:
        with pytest.raises((Exception, pytest.fail.Exception), match=re.escape(OTHERWISE[name])):
            yield
        return True
    return (yield)


@pytest.fixture(scope="package")
def limited(serve_all: Callable[..., Any], wire: Any) -> Iterator[Opened]:
    """Gives stores before two gateways with low limits, which have one store behind them."""
    environment = {"MSTBUCKET_TEST_LIMITS": json.dumps(LIMITS)}
    first = serve_all(program=LIMITED, **environment)
    second = serve_all(program=LIMITED, store=first.store, **environment, **ROOT)
    second.access_key = "second"
    yield from _opened([first, second], wire)


@pytest.fixture(scope="package")
def usual(serve_all: Callable[..., Any], wire: Any) -> Iterator[Opened]:
    """Gives stores before a gateway as it is."""
    yield from _opened([serve_all()], wire)


#: For rows that ask for parts of any size, or what a refused write has left: nothing but the test writes there.
STILL = {
    "mstbucket.core.s3rules.parts.PART_SIZE_MIN": 0,
    "mstbucket.services.upkeep.worker.POLL_SECONDS": 24 * 3600,
}


@pytest.fixture(scope="package")
def still(serve_all: Callable[..., Any], wire: Any) -> Iterator[Opened]:
    """Gives stores before a gateway that takes parts of any size and does nothing by itself."""
    yield from _opened([serve_all(program=LIMITED, MSTBUCKET_TEST_LIMITS=json.dumps(STILL))], wire)


@pytest.fixture
def as_asked(request: pytest.FixtureRequest) -> HttpStore:
    """A store of the test's own before the gateway that it needs."""
    here = "still" if {"tiny", "tmp_path"} & set(request.fixturenames) else "usual"
    return request.getfixturevalue(here)()  # type: ignore[no-any-return]


@pytest.fixture
def tiny() -> None:
    """Asks for a gateway that takes parts of any size."""


def _opened(gateways: list[Any], wire: Any) -> Iterator[Opened]:
    # What is kept with an object is what the caller gave: the model knows nothing of sums that an SDK adds by itself.
    clients = [one.client(request_checksum_calculation="when_required") for one in gateways]
    for client in clients:
        watch(client)

    def flush(gateway: Any, bucket: str) -> tuple[int, dict[str, Any]]:
        path = f"/{bucket}?mst-flush="
        with wire.Wire(gateway.port) as connection:
            headers = {**wire.sign(gateway, "POST", path), "content-length": "0"}
            connection.send(wire.head("POST", path, headers))
            status, _, body = connection.answer("POST")
        return status, json.loads(body)

    place = gateways[0].store
    numbers = itertools.count()
    with mstbucket.open(
        database=place["MSTBUCKET_DATABASE"], blobs=place["MSTBUCKET_BLOBS"], background=False
    ) as library:
        yield lambda: HttpStore(gateways, clients, library, f"t{next(numbers)}-", flush)
    for client in clients:
        client.close()


@pytest.fixture
def store(limited: Opened) -> HttpStore:
    """A store of the test's own, in place of the library's."""
    return limited()


@pytest.fixture
def bucket(store: HttpStore) -> Any:
    """An empty bucket in it."""
    return store.create_bucket("things")
