"""Two buckets of a real store and two of the model of S3: every call is made on both, and the answers have to agree.

Keys, prefixes and delimiters are from a small alphabet, so that they meet. Flushing, reopening, and leaving for another
store are steps like any, which nobody can see. `test_machine.py` runs it, and `tests/gateway/overhttp` over HTTP.
"""

from __future__ import annotations

import io
from base64 import b64encode
from datetime import timedelta
from hashlib import md5
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from s3model import Said, checksum, head_of, key_items, model_head
from s3pair import OTHER, Pair

import mstbucket
from mstbucket.core import cid as cids
from mstbucket.core.mst.build import build
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX

LETTERS: Final = st.sampled_from("xxy")  # mostly one bucket, so that things meet there
ALPHABET: Final = "a/0.bé"
KEYS: Final = st.sampled_from(["a", "a", "a/", "a/b", "a//b", "a.b"]) | st.text(ALPHABET, min_size=1, max_size=2)
PREFIXES: Final = st.sampled_from(["", "", "a", "a/", "/", "é"]) | st.text(ALPHABET, max_size=2)
DELIMITERS: Final = st.sampled_from([None, "/", "/", "a", "//", "/b", "é", "never"])
# Of every way of storing: in the database, in a pack, in several blocks; and some that differ in their last byte only.
BODIES: Final = st.builds(
    lambda size, last: bytes(size) + last,
    st.sampled_from([0, 0, 0, 18, 19, 3000, INLINE_MAX, CHUNK_SIZE + 7]),
    st.sampled_from([b"", b"1", b"2"]),
)
SUMS: Final = st.sampled_from([None, ("crc32", "COMPOSITE"), ("crc32", "FULL_OBJECT"), ("sha256", "COMPOSITE")])
LARGE: Final = st.builds(
    lambda size, last: bytes(size) + last, st.sampled_from([20, 3000, CHUNK_SIZE]), st.sampled_from([b"", b"1"])
)
PARTS: Final = st.dictionaries(st.integers(1, 4), LARGE | LARGE | BODIES, min_size=1, max_size=3)
TEXTS: Final = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=4)
TAGS: Final = st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=2)
SAID: Final = st.builds(
    Said,
    st.sampled_from(["binary/octet-stream", "text/plain"]),
    st.dictionaries(st.sampled_from(["one", "two"]), TEXTS, max_size=2),
    st.dictionaries(st.sampled_from(["cache-control", "expires"]), TEXTS, max_size=2),
    TAGS,
)
# A key that is there, if there is any; or any key.
THERE: Final = st.integers(0, 9) | st.integers(0, 9) | KEYS
# The version that a call names: none, or one of those there are, or one that is not.
WHICH: Final = st.none() | st.just(0) | st.integers(0, 9)
ETAG: Final = st.sampled_from([None] * 20 + ["*", "{0}", '"{0}"', 'W/"{0}"', '"{1}"', '"{1}", "{0}"', "{1},{0}"])
STEPS: Final = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "remove", "remove", "Enabled", "Suspended"]), st.sampled_from([0, 0, 0, 1])),
    min_size=4, max_size=10,
)  # fmt: skip
UPLOAD: Final = st.integers(0, 3)  # how many were begun since
SECONDS: Final = st.sampled_from([None, None, None, -1, 0, 1])


class S3Machine(Pair, RuleBasedStateMachine):
    """The calls. What is drawn is small: which of the versions there are, rather than an id."""

    @initialize(
        status=st.sampled_from([None, "Enabled", "Enabled", "Suspended"]), said=SAID, parts=PARTS,
        bodies=st.lists(st.tuples(KEYS, BODIES), min_size=3, max_size=6),
    )  # fmt: skip
    def begin(self, status: str | None, said: Said, parts: dict[int, bytes], bodies: list[tuple[str, bytes]]) -> None:
        """Some objects from before versioning was set, some from after it, and an upload: most calls need something."""
        self.start()
        for at, (key, body) in enumerate(bodies):
            if at == 2 and status is not None:
                self.set_versioning("x", status)
            self.put("xxy"[at % 3], key, body, said, None, None, None, None)
        self.begin_upload("x", bodies[0][0], said, parts, None)

    # --- the bucket ---

    @rule(letter=LETTERS, status=st.sampled_from(["Enabled", "Enabled", "Suspended"]))
    def set_versioning(self, letter: str, status: str) -> None:
        self.real[letter].put_bucket_versioning(status)
        self.model[letter].set_versioning(status)
        assert self.real[letter].get_bucket_versioning() == status

    @rule(letter=LETTERS, tags=TAGS)
    def tag_bucket(self, letter: str, tags: dict[str, str]) -> None:
        self.real[letter].put_bucket_tagging(tags)
        self.model[letter].tags = tags

    @rule(letter=LETTERS, sure=st.integers(0, 5))
    def delete_bucket(self, letter: str, sure: int) -> None:
        """Refused while there is a version or a marker. Seldom done: what is there is wanted."""
        name = self.real[letter].name
        if sure > 0:
            return
        if self.agree(lambda: self.store.delete_bucket(name), lambda _: self.service.delete(letter)) is not None:
            self.new_bucket(letter)

    # --- writing ---

    @rule(
        letter=LETTERS, key=KEYS, body=BODIES, said=SAID, match=ETAG, none_match=ETAG,
        algorithm=st.sampled_from([None, "crc32", "sha1", "sha256"]), digest=st.sampled_from([None, None, True, False]),
    )  # fmt: skip
    def put(
        self, letter: str, key: str, body: bytes, said: Said, match: str | None, none_match: str | None,
        algorithm: str | None, digest: bool | None,
    ) -> None:  # fmt: skip
        conditions = self.conditions(letter, key, match, none_match)
        content_md5 = None if digest is None else b64encode(md5(body if digest else body + b"!").digest()).decode()
        sums = {} if algorithm is None else {algorithm: checksum(algorithm, body)}
        self.stored(
            letter,
            key,
            lambda: self.real[letter].put_object(
                key, body, **vars(said), checksum_algorithm=algorithm, content_md5=content_md5, **conditions
            ),
            lambda given: self.model[letter].put(
                key, body, said, given, checksums=sums, content_md5=content_md5, **conditions
            ),
        )

    @rule(letter=LETTERS, many=st.lists(st.tuples(KEYS, BODIES, SAID), max_size=5))
    def put_many(self, letter: str, many: list[tuple[str, bytes, Said]]) -> None:
        told: list[mstbucket.PutResult] = []
        requests = [mstbucket.PutRequest(key, body, **vars(said)) for key, body, said in many]
        assert self.real[letter].put_objects(requests, stored=told.append) == len(many)
        for (key, body, said), result in zip(many, told, strict=True):
            self.check_put(letter, result, self.model[letter].put(key, body, said, result.version_id))
        for key, _, _ in many:
            self.look(letter, key)

    @rule(letter=LETTERS, there=THERE, which=WHICH, match=ETAG, none_match=ETAG)
    def delete(self, letter: str, there: str | int, which: int | None, match: str | None, none_match: str | None) -> None:
        key = self.key(letter, there)
        version_id = self.version_id(letter, key, which)
        conditions = self.conditions(letter, key, match, none_match) if version_id is None else {}
        both = self.agree(
            lambda: self.real[letter].delete_object(key, version_id=version_id, **conditions),
            lambda result: self.model[letter].delete(key, version_id, result and result.version_id, **conditions),
        )
        if both is not None:
            assert (both[0].key, both[0].version_id, both[0].delete_marker) == tuple(vars(both[1]).values())
        self.look(letter, key)

    @rule(letter=LETTERS, there=THERE, steps=STEPS)
    def history(self, letter: str, there: str | int, steps: list[tuple[str, int]]) -> None:
        """Several writes to one key: puts, deletes, and versions removed, the newest above all."""
        key = self.key(letter, there)
        for step, which in steps:
            if step == "put":
                self.put(letter, key, b"%d" % which, Said(), None, None, None, None)
            elif step in ("delete", "remove"):
                self.delete(letter, key, None if step == "delete" else which, None, None)
            elif self.model[letter].versioning is not None:
                self.set_versioning(letter, step)

    @rule(letter=LETTERS, items=st.lists(st.tuples(THERE, WHICH), max_size=5), bare=st.booleans())
    def delete_many(self, letter: str, items: list[tuple[str | int, int | None]], bare: bool) -> None:
        named = [(self.key(letter, there), which) for there, which in items]
        asked = [(key, self.version_id(letter, key, which)) for key, which in named]
        given = [key if bare and version_id is None else (key, version_id) for key, version_id in asked]
        both = self.agree(lambda: self.real[letter].delete_objects(given), lambda _: None)
        if both is None:
            return  # over HTTP: no request names no key
        report = both[0]
        assert report.errors == ()
        for result, (key, version_id) in zip(report.deleted, asked, strict=True):
            wanted = self.model[letter].delete(key, version_id, result.version_id)
            assert (result.key, result.version_id, result.delete_marker) == tuple(vars(wanted).values())
        for key, _ in asked:
            self.look(letter, key)

    @rule(
        source=LETTERS, there=THERE, which=WHICH, letter=LETTERS, key=KEYS, said=SAID, metadata=st.booleans(),
        tags=st.booleans(), match=ETAG, none_match=ETAG, source_match=ETAG, source_none_match=ETAG,
    )  # fmt: skip
    def copy(
        self, source: str, there: str | int, which: int | None, letter: str, key: str, said: Said, metadata: bool,
        tags: bool, match: str | None, none_match: str | None, source_match: str | None, source_none_match: str | None,
    ) -> None:  # fmt: skip
        source_key = self.key(source, there)
        version_id = self.version_id(source, source_key, which)
        conditions = self.conditions(letter, key, match, none_match)
        wanted = self.conditions(source, source_key, source_match, source_none_match)
        directives: dict[str, Any] = {}
        if metadata:
            directives |= {"metadata_directive": "REPLACE", "content_type": said.content_type}
            directives |= {"metadata": said.metadata, "headers": said.headers}
        if tags:
            directives |= {"tagging_directive": "REPLACE", "tags": said.tags}
        self.stored(
            letter,
            key,
            lambda: self.real[letter].copy_object(
                source_key, key, source_bucket=self.real[source].name, source_version_id=version_id,
                **directives, **conditions, **{f"copy_source_{name}": text for name, text in wanted.items()},
            ),
            lambda given: self.model[letter].copy(
                self.model[source], source_key, version_id, key, given, new=said if metadata else None,
                new_tags=said.tags if tags else None, source_conditions=wanted, **conditions,
            ),
        )  # fmt: skip

    @rule(letter=LETTERS, there=THERE, which=WHICH, tags=TAGS)
    def tag(self, letter: str, there: str | int, which: int | None, tags: dict[str, str]) -> None:
        key = self.key(letter, there)
        version_id = self.version_id(letter, key, which)
        real = self.real[letter]
        self.agree(
            lambda: real.put_object_tagging(key, tags, version_id=version_id) if tags
            else real.delete_object_tagging(key, version_id=version_id),
            lambda _: self.model[letter].tag(key, version_id, tags),
        )  # fmt: skip

    # --- multipart uploads ---

    @rule(letter=LETTERS, key=KEYS, said=SAID, parts=PARTS, sums=SUMS)
    def begin_upload(
        self, letter: str, key: str, said: Said, parts: dict[int, bytes], sums: tuple[str, str] | None
    ) -> None:
        asked: dict[str, Any] = {} if sums is None else {"checksum_algorithm": sums[0], "checksum_type": sums[1]}
        upload = self.real[letter].create_multipart_upload(key, **vars(said), **asked)
        self.model[letter].create_upload(key, said, upload.id, sums)
        self.uploads.append((letter, key, upload.id, {}))
        for number, body in parts.items():
            self.send(0, number, body)

    @rule(at=UPLOAD, number=st.integers(1, 4), body=BODIES)
    def send(self, at: int, number: int, body: bytes) -> None:
        letter, key, upload, sent = self.upload(at)
        both = self.agree(
            lambda: self.real[letter].upload_part(key, upload, number, body),
            lambda _: self.model[letter].put_part(key, upload, number, body),
        )
        if both is not None:
            assert (both[0].number, both[0].etag, both[0].size) == (number, both[1], len(body))
            sent[number] = both[1]

    @rule(at=UPLOAD, number=st.integers(1, 4), there=THERE, first=st.integers(0, 40), count=st.integers(1, 40))
    def send_copy(self, at: int, number: int, there: str | int, first: int, count: int) -> None:
        """The source is in bucket `x`; the range is all of it where it would begin past 30."""
        letter, key, upload, sent = self.upload(at)
        if upload not in self.model[letter].open:
            return  # of two reasons to refuse S3 does not say which it gives
        wanted = None if first > 30 else f"bytes={first}-{first + count - 1}"
        source_key = self.key("x", there)
        both = self.agree(
            lambda: self.real[letter].upload_part_copy(
                key, upload, number, source_key, source_bucket=self.real["x"].name, range=wanted
            ),
            lambda _: self.model[letter].copy_part(key, upload, number, (self.model["x"], source_key, None), wanted),
        )
        if both is not None:
            assert both[0].etag == both[1]
            sent[number] = both[1]

    @rule(
        at=UPLOAD, but=st.sets(st.integers(1, 4), max_size=1), quoted=st.booleans(), match=ETAG, none_match=ETAG,
        wrong=st.sampled_from([None, None, None, "order", "twice", "etag", "number"]),
    )  # fmt: skip
    def complete(
        self, at: int, but: set[int], quoted: bool, match: str | None, none_match: str | None, wrong: str | None
    ) -> None:
        """Of the parts that were sent, but for some; with one thing wrong, or nothing."""
        letter, key, upload, sent = self.upload(at)
        named = [(number, sent[number]) for number in sorted(set(sent) - but)] or [(1, OTHER)]
        if wrong == "order":
            named.reverse()
        elif wrong == "twice":
            named.append(named[-1])
        elif wrong is not None:
            named[-1] = (named[-1][0], OTHER) if wrong == "etag" else (5, named[-1][1])
        named = [(number, f'"{etag}"' if quoted else etag) for number, etag in named]
        conditions = self.conditions(letter, key, match, none_match)
        both = self.agree(
            lambda: self.real[letter].complete_multipart_upload(key, upload, named, **conditions),
            lambda result: self.model[letter].complete(key, upload, named, result and result.version_id, **conditions),
        )
        if both is not None:
            result, (version, version_id) = both
            assert (result.key, result.etag, result.size) == (key, version.etag, len(version.body))
            assert (result.version_id, result.checksums) == (version_id, version.checksums)
        self.look(letter, key)

    @rule(at=UPLOAD)
    def abort(self, at: int) -> None:
        letter, key, upload, _ = self.upload(at)
        self.agree(
            lambda: self.real[letter].abort_multipart_upload(key, upload), lambda _: self.model[letter].abort(key, upload)
        )

    # --- reading ---

    @rule(
        letter=LETTERS, there=THERE, which=WHICH, match=ETAG, none_match=ETAG, since=SECONDS, unmodified=SECONDS,
        span=st.none() | st.tuples(st.integers(0, 3100), st.none() | st.integers(0, 40)) | st.integers(0, 30),
        part=st.none() | st.none() | st.integers(1, 3),
    )  # fmt: skip
    def read(
        self, letter: str, there: str | int, which: int | None, match: str | None, none_match: str | None, since: int | None,
        unmodified: int | None, span: Any, part: int | None,
    ) -> None:  # fmt: skip
        key = self.key(letter, there)
        version_id = self.version_id(letter, key, which)
        model, real = self.model[letter], self.real[letter]
        asked: dict[str, Any] = self.conditions(letter, key, match, none_match)
        moments = {"if_modified_since": since, "if_unmodified_since": unmodified}
        modified = self.modified(letter, key, version_id)
        stated: dict[str, Any] = {name: modified + timedelta(seconds=n) for name, n in moments.items() if n is not None}
        wanted = None if span is None else f"bytes=-{span}"
        if isinstance(span, tuple):
            first, count = span
            wanted = f"bytes={first}-" + ("" if count is None else f"{first + count}")
        if part is not None:
            wanted = None
        bounds = {name: moment.timestamp() for name, moment in stated.items()}
        both = self.agree(
            lambda: real.get_object(key, version_id=version_id, range=wanted, part_number=part, **asked, **stated),
            lambda _: model.read(key, version_id, wanted, part, **asked, **bounds),
        )
        if both is not None:
            with both[0] as reader:
                assert reader.read() == both[1]
                assert head_of(reader.info) == model_head(model, model.find(key, version_id))

    @rule(letter=LETTERS, prefix=PREFIXES, delimiter=DELIMITERS, after=st.just("") | st.text(ALPHABET, max_size=2))
    def list_all(self, letter: str, prefix: str, delimiter: str | None, after: str) -> None:
        """Every listing, at every page size."""
        self.compare_listings(letter, prefix, delimiter, after)

    # --- what nobody can see ---

    @rule(letter=LETTERS)
    def flush(self, letter: str) -> None:
        before = self.shown(letter)
        commit = self.real[letter].flush()
        assert self.shown(letter) == before
        live = key_items(self.model[letter], "", None)
        sizes = [len(version.body) for _, version in live if version is not None]
        assert (commit.objects, commit.bytes) == (len(sizes), sum(sizes))
        manifests = [(key.encode(), cids.from_text(self.real[letter].head_object(key).manifest)) for key, _ in live]
        assert commit.tree == cids.to_text(build(manifests, lambda cid, block: None))
        old = any(len(versions) > 1 or versions[-1].marker for versions in self.model[letter].history.values())
        assert (commit.versions is not None) == old
        report = self.real[letter].verify()
        assert (report.commit, report.objects, report.dirty) == (commit.cid, len(sizes), 0)

    @rule(sure=st.integers(0, 2))
    def leave(self, sure: int) -> None:
        """Both buckets go to another store, and everything goes on there. Open uploads are of the store, not the bucket."""
        if sure > 0:
            return  # it takes as long as everything else together
        before = {letter: self.shown(letter) for letter in "xy"}
        there = self.open_store(1 - self.place)
        for letter in "xy":
            commit = self.real[letter].flush()
            out, again = io.BytesIO(), io.BytesIO()
            self.real[letter].export_car(out)
            back = there.import_car(io.BytesIO(out.getvalue()), next(self.names))
            back.export_car(again)
            assert back.head_commit() == commit
            assert again.getvalue() == out.getvalue()
            self.real[letter] = back
            self.model[letter].open.clear()
            self.model[letter].answers.clear()
        self.store.close()
        self.store, self.place = there, 1 - self.place
        for letter in "xy":
            assert self.shown(letter) == before[letter]
            assert self.real[letter].verify().dirty == 0

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open_store(self.place)
        for letter in "xy":
            self.real[letter] = self.store.bucket(self.real[letter].name)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for letter in "xy":
                for prefix, delimiter in (("", None), ("", "/")):
                    self.compare_listings(letter, prefix, delimiter, "")
                self.flush(letter)
            self.leave(0)
            self.store.close()
