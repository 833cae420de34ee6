"""Open uploads and their parts, page by page, against sorted Python; and how old ones end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core.times import DAY_MS
from mstbucket.limits import UPLOAD_AGE_DAYS, UPLOAD_ANSWER_DAYS
from mstbucket.services.upkeep.worker import Worker
from mstbucket.services.uploads import uploads

ALPHABET = ["a", "/", "0", ".", "b", "é", "\ud7ff", "\U0010ffff", "\ue000"]
Item = tuple[str, str]  # a key and an upload id, or a common prefix and ""


def wanted(there: list[Item], prefix: str, delimiter: str | None, marker: str, id_marker: str | None) -> list[Item]:
    """Every item of the whole listing, the obvious way."""
    items: list[Item] = []
    for key, name in sorted(there, key=lambda item: (item[0].encode(), item[1])):
        if not key.startswith(prefix):
            continue
        if marker and (key.encode() < marker.encode() or (key == marker and (id_marker is None or name <= id_marker))):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        item = (key, name) if at < 0 else (key[: at + len(delimiter or "")], "")
        if at >= 0 and item[0] == marker:
            continue  # a marker that is a common prefix has been listed
        if not items or items[-1] != item:
            items.append(item)
    return items


def listed(
    bucket: mstbucket.Bucket, prefix: str, delimiter: str | None, marker: str, id_marker: str | None, size: int
) -> list[Item]:
    """Every item, page by page; each page is checked for its size and the truth of `is_truncated`."""
    items: list[Item] = []
    at: str | None = marker or None
    while True:
        page = bucket.list_multipart_uploads(
            prefix, delimiter=delimiter, key_marker=at, upload_id_marker=id_marker, max_uploads=size
        )
        here = [(u.key, u.id) for u in page.uploads] + [(p, "") for p in page.common_prefixes]
        items += sorted(here, key=lambda item: (item[0].encode(), item[1]))
        assert len(here) == size or not page.is_truncated
        assert page.is_truncated == (page.next_key_marker is not None)
        if not page.is_truncated:
            return items
        at, id_marker = page.next_key_marker, page.next_upload_id_marker


def test_hundreds_of_paged_listings_agree_with_sorted_python(store: mstbucket.Store) -> None:
    """[MPU-15]."""
    rng = random.Random(20261121)
    for round_ in range(5):
        bucket = store.create_bucket(f"listing-{round_}")
        keys = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 4))) for _ in range(rng.choice([3, 10, 20]))]
        there = [(key, bucket.create_multipart_upload(key).id) for key in keys for _ in range(rng.choice([1, 1, 3]))]
        ended = bucket.create_multipart_upload(keys[0])
        bucket.abort_multipart_upload(keys[0], ended.id)
        for _ in range(20):
            prefix = rng.choice(["", rng.choice(keys)[: rng.randint(0, 2)]])
            delimiter = rng.choice([None, "/", "/", "a", "\U0010ffff", "é", "//"])
            key, name = rng.choice(there)
            marker, id_marker = rng.choice([("", None), ("", name), (key, None), (key, name), (key[:1], None)])
            want = wanted(there, prefix, delimiter, marker, id_marker)
            for size in {1, 2, max(len(want), 1), len(want) + 1, 1000}:
                got = listed(bucket, prefix, delimiter, marker, id_marker, size)
                assert got == want, (prefix, delimiter, marker, id_marker, size)


@pytest.mark.parametrize(
    ("asked", "count", "truncated"),
    [(0, 0, False), (1, 1, True), (3, 3, False), (4, 3, False), (5000, 3, False)],
    ids=["none", "one", "exact fit", "more than there are", "above the limit"],
)
def test_max_uploads_and_max_parts(bucket: mstbucket.Bucket, asked: int, count: int, truncated: bool) -> None:
    """[MPU-14], [MPU-15]."""
    ids = [bucket.create_multipart_upload("k").id for _ in range(3)]
    page = bucket.list_multipart_uploads(max_uploads=asked)
    assert (len(page.uploads), page.is_truncated) == (count, truncated)
    for number in (10_000, 2, 77):
        bucket.upload_part("k", ids[0], number, b"x")
    parts = bucket.list_parts("k", ids[0], max_parts=asked)
    assert (len(parts.parts), parts.is_truncated) == (count, truncated)


def test_uploads_of_one_key_come_as_they_were_initiated(bucket: mstbucket.Bucket) -> None:
    """[MPU-15]: the id starts with the time."""
    made = []
    for _ in range(4):
        made.append(bucket.create_multipart_upload("k"))
        time.sleep(0.002)
    assert list(bucket.list_multipart_uploads().uploads) == made
    assert [upload.initiated for upload in made] == sorted(upload.initiated for upload in made)


@pytest.mark.parametrize(
    ("marker", "numbers"),
    [(0, [3, 50, 10_000]), (2, [3, 50, 10_000]), (3, [50, 10_000]), (9_999, [10_000]), (10_000, []), (2**40, [])],
    ids=str,
)
def test_the_marker_of_list_parts(bucket: mstbucket.Bucket, marker: int, numbers: list[int]) -> None:
    """[MPU-14]."""
    upload = bucket.create_multipart_upload("k").id
    sent = {number: bucket.upload_part("k", upload, number, bytes(number)) for number in (50, 10_000, 3)}
    page = bucket.list_parts("k", upload, part_number_marker=marker)
    assert list(page.parts) == [sent[number] for number in numbers]
    one = bucket.list_parts("k", upload, part_number_marker=marker, max_parts=1)
    assert one.next_part_number_marker == (numbers[0] if len(numbers) > 1 else None)


Call = Callable[[mstbucket.Bucket, str], object]
REFUSED: dict[str, Call] = {
    "a negative max_uploads": lambda b, u: b.list_multipart_uploads(max_uploads=-1),
    "a negative max_parts": lambda b, u: b.list_parts("k", u, max_parts=-1),
    "a negative part number marker": lambda b, u: b.list_parts("k", u, part_number_marker=-1),
    "a prefix with NUL": lambda b, u: b.list_multipart_uploads("\0"),
    "a marker that is not Unicode": lambda b, u: b.list_multipart_uploads(key_marker="\ud800"),
    "an id marker with NUL": lambda b, u: b.list_multipart_uploads(key_marker="k", upload_id_marker="\0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_listed_is_refused(bucket: mstbucket.Bucket, case: str) -> None:
    upload = bucket.create_multipart_upload("k").id
    with pytest.raises(errors.InvalidInput):
        REFUSED[case](bucket, upload)


def age(bucket: mstbucket.Bucket, column: str, upload: str, days: float) -> None:
    """Make an upload older than it is."""
    with bucket._context.db.connection() as connection:
        query = f"UPDATE uploads SET {column} = {column} - %s WHERE id = %s"
        connection.execute(query, (int(days * DAY_MS), upload))


def test_old_uploads_are_aborted_and_young_ones_stay(bucket: mstbucket.Bucket) -> None:
    """[MPU-17]: over several batches; one that somebody works on is left for the next time."""
    old = [bucket.create_multipart_upload(f"{n}").id for n in range(25)]
    for upload in old:
        age(bucket, "initiated", upload, UPLOAD_AGE_DAYS + 0.1)
    young = bucket.create_multipart_upload("young")
    age(bucket, "initiated", young.id, UPLOAD_AGE_DAYS - 0.1)
    bucket.upload_part("3", old[3], 1, b"x")
    with bucket._context.db.transaction() as connection:
        connection.execute("SELECT 1 FROM uploads WHERE id = %s FOR KEY SHARE", (old[7],))
        assert uploads.expire_uploads(bucket._context) == 24
    assert [u.id for u in bucket.list_multipart_uploads().uploads] == [old[7], young.id]
    assert uploads.expire_uploads(bucket._context) == 1
    assert uploads.expire_uploads(bucket._context, older_than=0) == 1
    with bucket._context.db.reading() as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (0,)


def test_answers_are_kept_for_a_time(bucket: mstbucket.Bucket) -> None:
    """[MPU-9], [MPU-17]: expiry of open uploads does not touch them, and their own does not touch the object."""
    upload = bucket.create_multipart_upload("k").id
    part = bucket.upload_part("k", upload, 1, b"x")
    done = bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
    age(bucket, "initiated", upload, 100)
    age(bucket, "completed", upload, UPLOAD_ANSWER_DAYS - 0.1)
    assert (uploads.expire_uploads(bucket._context), uploads.forget_answers(bucket._context)) == (0, 0)
    assert bucket.complete_multipart_upload("k", upload, [(1, part.etag)]) == done
    age(bucket, "completed", upload, 0.2)
    assert uploads.forget_answers(bucket._context) == 1
    with pytest.raises(errors.NoSuchUpload):
        bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
    assert bucket.get_object("k").read() == b"x"


def test_an_age_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="negative"):
        mstbucket.open(tmp_path / "s", abort_uploads_after=timedelta(seconds=-1))
    assert not (tmp_path / "s").exists()


def test_the_age_is_given_when_the_store_is_opened(
    bucket: mstbucket.Bucket, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[MPU-17]: to the millisecond."""
    monkeypatch.setattr("mstbucket.services.upkeep.worker.POLL_SECONDS", 0.01)
    young, old = (bucket.create_multipart_upload(key) for key in ("young", "old"))
    age(bucket, "initiated", old.id, 0.5)
    with mstbucket.open(database=database_url, blobs=tmp_path / "blobs", abort_uploads_after=timedelta(hours=11)):
        for _ in range(500):
            if len(bucket.list_multipart_uploads().uploads) == 1:
                break
            time.sleep(0.01)
    assert bucket.list_multipart_uploads().uploads == (young,)


@pytest.mark.parametrize(("days", "left"), [(None, 1), (1, 0)], ids=["off", "on"])
def test_the_background_work_expires_only_where_it_is_told_to(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, days: int | None, left: int
) -> None:
    """[MPU-17]."""
    monkeypatch.setattr("mstbucket.services.upkeep.worker.POLL_SECONDS", 0.01)
    age(bucket, "initiated", bucket.create_multipart_upload("open").id, 30)
    upload = bucket.create_multipart_upload("done").id
    part = bucket.upload_part("done", upload, 1, b"x")
    bucket.complete_multipart_upload("done", upload, [(1, part.etag)])
    age(bucket, "completed", upload, 30)
    worker = Worker(bucket._context, None if days is None else days * DAY_MS)
    answers = 1
    for _ in range(500):
        with bucket._context.db.reading() as connection:
            row = connection.execute("SELECT count(*) FROM uploads WHERE completed IS NOT NULL").fetchone()
        assert row is not None
        answers = row[0]
        if answers == 0 and len(bucket.list_multipart_uploads().uploads) == left:
            break
        time.sleep(0.01)
    worker.close()  # finishes the round that has removed the answer
    assert answers == 0
    assert len(bucket.list_multipart_uploads().uploads) == left
