"""What only a local disk does: flushing in the right order, leftovers, links, and a disk that fails."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mstbucket.blobs.media import disk
from mstbucket.blobs.media.local import WRITING, LocalBlobs
from mstbucket.errors import BlobExists, InvalidInput, NoSuchBlob, OutcomeUnknown, StorageError

Start = Callable[..., subprocess.Popen[str]]


def leftovers(path: Path) -> list[str]:
    """Names of files that a writer has not finished."""
    return os.listdir(path / WRITING) if (path / WRITING).exists() else []


# --- durability: the order of the calls that matter ---


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What the store asks of the operating system, in order; files and folders by their inode."""
    seen: list[tuple[str, ...]] = []
    fsync, link, mkdir, unlink = os.fsync, os.link, os.mkdir, os.unlink

    def inode(fd: int) -> str:
        return str(os.fstat(fd).st_ino)

    def on_fsync(fd: int) -> None:
        fsync(fd)
        seen.append(("fsync", inode(fd)))

    def on_link(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        file = str(os.stat(old, dir_fd=src_dir_fd).st_ino)
        link(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        seen.append(("link", file, inode(dst_dir_fd)))

    def on_mkdir(name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        if dir_fd is not None:
            seen.append(("mkdir", inode(dir_fd)))

    def on_unlink(name: str, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        seen.append(("unlink", inode(dir_fd)))

    for name, replacement in (("fsync", on_fsync), ("link", on_link), ("mkdir", on_mkdir), ("unlink", on_unlink)):
        monkeypatch.setattr(os, name, replacement)
    return seen


def test_the_bytes_are_flushed_before_the_name_and_the_folder_after(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    """[BLOB-6] the whole sequence of a first put: also the folders made for it are durable"""
    blobs = LocalBlobs(tmp_path)
    blobs.put("packs/ab/one.car", b"data")
    top, packs, folder, file, writing = (
        str((tmp_path / name).stat().st_ino) for name in (".", "packs", "packs/ab", "packs/ab/one.car", WRITING)
    )
    made = [("mkdir", top), ("fsync", top), ("mkdir", packs), ("fsync", packs), ("mkdir", top), ("fsync", top)]
    written = [("fsync", file), ("link", file, folder), ("fsync", folder), ("unlink", writing)]
    assert calls == made + written


def test_a_folder_that_somebody_else_made_is_flushed_too(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    """[BLOB-6] who made it may have died before flushing its name"""
    blobs = LocalBlobs(tmp_path)
    (tmp_path / "packs" / "ab").mkdir(parents=True)
    calls.clear()
    blobs.put("packs/ab/one.car", b"data")
    top, packs = (str((tmp_path / name).stat().st_ino) for name in (".", "packs"))
    link = next(number for number, call in enumerate(calls) if call[0] == "link")
    assert {("fsync", top), ("fsync", packs)} <= set(calls[:link])


def test_a_name_said_to_be_taken_is_durable(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    """[BLOB-6] its writer may have died between the name and the flush"""
    blobs = LocalBlobs(tmp_path)
    blobs.put("a/one", b"data")
    calls.clear()
    with pytest.raises(BlobExists):
        blobs.put_if_absent("a/one", b"data")
    assert ("fsync", str((tmp_path / "a").stat().st_ino)) in calls


def test_a_deletion_is_durable_once_per_folder(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    """[BLOB-6]"""
    blobs = LocalBlobs(tmp_path)
    for name in ("a/1", "a/2", "b/1"):
        blobs.put(name, b"")
    a, b = (str((tmp_path / name).stat().st_ino) for name in "ab")
    calls.clear()
    blobs.delete_many(["a/1", "a/2", "b/1", "a/gone"])
    assert calls[:3] == [("unlink", a), ("unlink", a), ("unlink", b)]
    assert sorted(calls[3:]) == sorted([("fsync", a), ("fsync", b)])
    calls.clear()
    blobs.delete("a/1")
    assert calls == [("fsync", a)]


def test_a_directory_that_is_made_is_durable_itself(tmp_path: Path, calls: list[tuple[str, ...]]) -> None:
    """[BLOB-6]"""
    LocalBlobs(tmp_path / "new" / "store")
    made = [("fsync", str(path.stat().st_ino)) for path in (tmp_path, tmp_path / "new")]
    assert [call for call in calls if call[0] == "fsync"] == made


def test_a_name_that_cannot_be_flushed_has_an_unknown_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[BLOB-13] and repeating the put settles it"""
    blobs = LocalBlobs(tmp_path)
    blobs.put("a/one", b"data")

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OutcomeUnknown, match=r"a/two.*disk reports a failure.*read it before"):
            blobs.put("a/two", b"data")
    blobs.put("a/two", b"data")
    assert blobs.get_range("a/two", 0, 4) == b"data"
    assert leftovers(tmp_path) == []


# --- killed writers ---

WRITE_AND_WAIT = """
import sys, time
from mstbucket.blobs.media.local import LocalBlobs
writer = LocalBlobs(sys.argv[1]).open_write("packs/killed")
writer.write(b"x" * 2_000_000)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_killed_writer_leaves_nothing_visible_and_is_swept(tmp_path: Path, start: Start) -> None:
    """[BLOB-11] and [BLOB-4]: killed for real, while another one is at work"""
    blobs = LocalBlobs(tmp_path)
    alive = blobs.open_write("packs/alive")
    alive.write(b"half")
    process = start(WRITE_AND_WAIT, tmp_path)
    assert process.stdout.readline() == "ready\n"
    assert len(leftovers(tmp_path)) == 2
    LocalBlobs(tmp_path)
    assert len(leftovers(tmp_path)) == 2  # both are alive
    process.kill()
    process.wait()
    assert list(blobs.list()) == []
    assert len(leftovers(tmp_path)) == 2
    LocalBlobs(tmp_path)
    assert len(leftovers(tmp_path)) == 1
    alive.write(b" and half")
    alive.commit()
    assert [info.name for info in blobs.list()] == ["packs/alive"]
    assert blobs.get_range("packs/alive", 0, 13) == b"half and half"
    assert leftovers(tmp_path) == []


WRITE_FOR_EVER = """
import hashlib, itertools, sys
from mstbucket.blobs.media.local import LocalBlobs
blobs = LocalBlobs(sys.argv[1])
for number in itertools.count():
    data = hashlib.shake_128(b"%d" % number).digest(100_000)
    name = f"packs/{number % 16:02x}/{sys.argv[2]}-{number}-{hashlib.sha256(data).hexdigest()}"
    with blobs.open_write(name) as writer:
        for start in range(0, len(data), 9_000):
            writer.write(data[start : start + 9_000])
        writer.commit()
    print(name, flush=True)
"""


def test_whenever_it_is_killed_what_is_there_is_whole(tmp_path: Path, start: Start) -> None:
    """[BLOB-4] [BLOB-6]: what was acknowledged is there; what is there is whole, acknowledged or not"""
    acknowledged: set[str] = set()
    for turn in range(6):
        process = start(WRITE_FOR_EVER, tmp_path, turn)
        acknowledged |= {process.stdout.readline().strip() for _ in range(1 + 5 * turn)}
        process.kill()
        # The last line may be cut: only whole names, which end with 64 digits, count.
        acknowledged |= set(process.communicate()[0].splitlines())
    blobs = LocalBlobs(tmp_path)
    there = list(blobs.list())
    assert {name for name in acknowledged if len(name.rsplit("-", 1)[-1]) == 64} <= {info.name for info in there}
    for info in there:
        assert hashlib.sha256(blobs.get_range(info.name, 0, info.size)).hexdigest() == info.name.rsplit("-", 1)[1]
    assert leftovers(tmp_path) == []


def test_a_writer_that_meets_a_sweep_starts_another_file(tmp_path: Path) -> None:
    """[BLOB-11] between making a file and locking it, it looks like a dead writer's"""
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            LocalBlobs(tmp_path)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        blobs = LocalBlobs(tmp_path)
        for number in range(300):
            blobs.put_if_absent(f"packs/{number}", b"data")
    finally:
        stop.set()
        sweeper.join()
    assert len(list(blobs.list())) == 300


CONTEND = """
import sys
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.errors import BlobExists
blobs = LocalBlobs(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    try:
        blobs.put_if_absent(f"refs/{number}", sys.argv[2].encode() * 5_000)
        print(number, flush=True)
    except BlobExists:
        pass
"""


def test_of_many_processes_that_put_at_once_one_wins(tmp_path: Path, start: Start) -> None:
    """[BLOB-2]"""
    processes = {letter: start(CONTEND, tmp_path, letter) for letter in "abcd"}
    for process in processes.values():
        assert process.stdout.readline() == "ready\n"
    for process in processes.values():
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [(int(line), letter) for letter, process in processes.items() for line in process.communicate()[0].split()]
    assert sorted(number for number, _ in won) == list(range(60))
    blobs = LocalBlobs(tmp_path)
    for number, letter in won:
        assert blobs.get_range(f"refs/{number}", 0, 5_000) == letter.encode() * 5_000


# --- a disk that fails ---

FILL = """
import sys
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.errors import InvalidInput, StorageError
blobs = LocalBlobs(sys.argv[1])
blobs.put("packs/before", b"before")
if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    blobs.put("packs/at-once", bytes(3_000_000))  # the first write of it falls short, the second one fails
    print("no error")
except StorageError:
    pass
writer = blobs.open_write("packs/large")
try:
    for _ in range(64):
        writer.write(bytes(100_000))
    print("no error")
except StorageError as error:
    print(error)
try:
    writer.commit()
    print("no error")
except InvalidInput as error:
    print(error)
blobs.put("packs/after", b"after")
print(*(info.name for info in blobs.list()), blobs.get_range("packs/before", 0, 6), *blobs._path.glob(".writing/*"))
"""

MOUNT = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'


def private_mounts() -> tuple[str, ...] | None:
    """The command after which one may mount what one likes, where this machine allows that."""
    for command in (("unshare", "--mount"), ("unshare", "--mount", "--user", "--map-root-user")):
        if shutil.which("unshare") and not os.system(" ".join([*command, "true", "2>/dev/null"])):
            return command
    return None


#: A file system of 2 MiB where one may be mounted; elsewhere the limit that the operating system puts on one file.
FULL = private_mounts()


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path, start: Start) -> None:
    """[BLOB-13] and [BLOB-4]: what did not fit is not there, what was there is, and smaller things fit again"""
    if FULL is None:
        process, reason = start(FILL, tmp_path, 2_000_000), "larger than the file system or the process's limit"
    else:
        process, reason = start(FILL, tmp_path, before=(*FULL, "sh", "-c", MOUNT, str(tmp_path))), "the disk is full"
    first, second, last = process.communicate()[0].splitlines()
    assert str(tmp_path / "packs/large") in first
    assert reason in first
    assert "ended" in second
    assert last == "packs/after packs/before b'before'"


def test_a_limit_on_the_size_of_a_file_says_so_and_leaves_nothing(tmp_path: Path, start: Start) -> None:
    """[BLOB-13]"""
    first, second, last = start(FILL, tmp_path, 2_000_000).communicate()[0].splitlines()
    assert "ulimit -f" in first
    assert "ended" in second
    assert last == "packs/after packs/before b'before'"


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory with one blob in it, read-only, while this process has nobody's rights."""
    path = Path(tempfile.mkdtemp())
    LocalBlobs(path / "store").put("packs/a", b"data")
    for folder in (path / "store", path / "store/packs", path):
        folder.chmod(0o555)
    (path / "store/packs/a").chmod(0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield path
    finally:
        if root:
            os.seteuid(0)
        for folder in (path, path / "store", path / "store/packs"):
            folder.chmod(0o755)
        shutil.rmtree(path)


def test_a_directory_that_one_may_only_read_can_be_read(unprivileged: Path) -> None:
    """[BLOB-13]"""
    blobs = LocalBlobs(unprivileged / "store")
    assert blobs.get_range("packs/a", 0, 4) == b"data"
    assert [info.name for info in blobs.list()] == ["packs/a"]
    for write in (lambda: blobs.put("packs/b", b""), lambda: blobs.put("new/b", b""), lambda: blobs.delete("packs/a")):
        with pytest.raises(StorageError, match=r"store/.*permission denied: check who owns"):
            write()
    assert blobs.get_range("packs/a", 0, 4) == b"data"
    with pytest.raises(StorageError, match=r"cannot be used at .*/other: permission denied"):
        LocalBlobs(unprivileged / "other")


def test_a_directory_that_one_may_not_enter_is_no_empty_store(unprivileged: Path) -> None:
    """[BLOB-13]"""
    blobs = LocalBlobs(unprivileged / "store")
    rights = os.geteuid()
    os.seteuid(os.getuid())
    (unprivileged / "store/packs").chmod(0o000)
    os.seteuid(rights)
    for ask in (lambda: blobs.get_range("packs/a", 0, 1), lambda: blobs.head("packs/a"), lambda: list(blobs.list())):
        with pytest.raises(StorageError, match=r"store/packs.*permission denied"):
            ask()


def test_a_directory_that_was_removed_is_no_empty_store(tmp_path: Path) -> None:
    """[BLOB-13]"""
    blobs = LocalBlobs(tmp_path / "store")
    blobs.put("packs/a", b"data")
    shutil.rmtree(tmp_path / "store")
    for call in (
        lambda: list(blobs.list()),
        lambda: blobs.head("packs/a"),
        lambda: blobs.get_range("packs/a", 0, 1),
        lambda: blobs.put("packs/b", b""),
        lambda: blobs.delete("packs/a"),
    ):
        with pytest.raises(StorageError, match=r"store.*directory is gone"):
            call()


def test_a_file_in_place_of_a_directory_says_so(tmp_path: Path) -> None:
    """[BLOB-13]"""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"file: a file stands where a directory should be"):
        LocalBlobs(tmp_path / "file")
    blobs = LocalBlobs(tmp_path)
    with pytest.raises(StorageError, match=r"file/a: a file stands where a directory should be"):
        blobs.put("file/a", b"")
    blobs.put("folder/a", b"")
    with pytest.raises(StorageError, match=r"folder: a directory stands where a blob should be"):
        blobs.put("folder", b"")


def test_a_blob_cut_short_behind_the_store_is_noticed(tmp_path: Path) -> None:
    """[BLOB-7]"""
    blobs = LocalBlobs(tmp_path)
    blobs.put("packs/a", b"0123456789")
    assert blobs.get_range("packs/a", 0, 10) == b"0123456789"
    os.truncate(tmp_path / "packs/a", 4)
    with pytest.raises(StorageError, match=r"packs/a ends at byte 4"):
        blobs.get_range("packs/a", 0, 10)


def test_a_later_page_of_a_listing_does_not_open_the_folders_of_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[BLOB-8] a store of a million packs is paged through"""
    blobs = LocalBlobs(tmp_path)
    for number in range(32):
        blobs.put(f"packs/{number:02x}/a", b"")
    opened: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (opened.append(folder), scandir(folder))[1])
    assert [info.name for info in blobs.list("packs/", after="packs/1d/a")] == ["packs/1e/a", "packs/1f/a"]
    assert len(opened) == 5  # the directory, packs/, and the three last


# --- links and other things that are no files ---


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """[BLOB-12]"""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    blobs = LocalBlobs(tmp_path / "store")
    blobs.put("packs/a", b"data")
    (tmp_path / "store/packs/link").symlink_to(outside / "secret")
    (tmp_path / "store/folder").symlink_to(outside)
    (tmp_path / "store/dangling").symlink_to(outside / "nothing")
    assert [info.name for info in blobs.list()] == ["packs/a"]
    for name in ("packs/link", "folder/secret", "dangling"):
        for ask in (lambda name=name: blobs.get_range(name, 0, 1), lambda name=name: blobs.head(name)):
            with pytest.raises(StorageError, match=f"{name}: a symbolic link, which is not followed"):
                ask()
    for call in (lambda: blobs.put("folder/new", b""), lambda: blobs.delete("folder/secret")):
        with pytest.raises(StorageError, match="symbolic link"):
            call()
    with pytest.raises((BlobExists, StorageError)):
        blobs.put("dangling", b"data")
    blobs.delete("packs/link")
    assert sorted(os.listdir(outside)) == ["secret"]


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    """[BLOB-12] that one is the caller's own choice"""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    LocalBlobs(tmp_path / "link").put("packs/a", b"data")
    assert (tmp_path / "real/packs/a").read_bytes() == b"data"


def test_a_pipe_is_no_blob_and_hangs_nobody(tmp_path: Path) -> None:
    """[BLOB-12]"""
    blobs = LocalBlobs(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert list(blobs.list()) == []
    with pytest.raises(StorageError, match="pipe"):
        blobs.get_range("pipe", 0, 1)


# --- files kept open ---


def test_more_blobs_than_files_may_be_open(tmp_path: Path) -> None:
    """[BLOB-10] and a file that is being read is not closed under the reader"""
    blobs = LocalBlobs(tmp_path)
    names = [f"packs/{number}" for number in range(3 * disk.OPEN_FILES)]
    for name in names:
        blobs.put(name, name.encode())

    def read(offset: int) -> None:
        order = names[offset:] + names[:offset]
        wrong.extend(name for name in order if blobs.get_range(name, 0, len(name)) != name.encode())

    wrong: list[str] = []
    threads = [threading.Thread(target=read, args=(37 * number,)) for number in range(4)]
    before = len(os.listdir("/dev/fd"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(os.listdir("/dev/fd")) <= before + disk.OPEN_FILES


def test_a_deleted_blob_gives_its_space_back(tmp_path: Path) -> None:
    """[BLOB-5] a store that had it open lets go of it when it is asked for the next time"""
    one, two = LocalBlobs(tmp_path), LocalBlobs(tmp_path)
    one.put("packs/a", b"data")
    one.get_range("packs/a", 0, 4)
    before = len(os.listdir("/dev/fd"))
    two.delete("packs/a")
    with pytest.raises(NoSuchBlob):
        one.get_range("packs/a", 0, 4)
    assert len(os.listdir("/dev/fd")) == before - 1


def test_nobody_else_may_read_what_is_written(tmp_path: Path) -> None:
    """Whatever the umask."""
    before = os.umask(0)
    try:
        LocalBlobs(tmp_path / "store").put("packs/a", b"data")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "store" / name).stat().st_mode) for name in (".", "packs", "packs/a", WRITING)]
    assert modes == [0o700, 0o700, 0o600, 0o700]


def test_memory_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    """[BLOB-10]"""
    blobs = LocalBlobs(tmp_path)
    piece = bytes(1_000_000)
    tracemalloc.start()
    try:
        with blobs.open_write("packs/large") as writer:
            for _ in range(60):
                writer.write(piece)
            writer.commit()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert blobs.head("packs/large").size == 60_000_000


def test_a_range_of_a_store_that_is_asked_wrongly_is_the_callers_fault(tmp_path: Path) -> None:
    """[BLOB-7] also where there is no such blob"""
    with pytest.raises(InvalidInput, match="-1 bytes"):
        LocalBlobs(tmp_path).get_range("packs/a", 0, -1)


def test_released_it_holds_no_file_and_goes_on(tmp_path: Path) -> None:
    """What was read stays open for the next reader, until it is let go; a writer that has ended holds nothing either."""
    blobs = LocalBlobs(tmp_path / "blobs")
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    writers = []
    for number in range(5):
        with blobs.open_write(f"packs/{number:02x}/{number}.car") as writer:
            writer.write(b"x")
            writer.commit()
        writers.append(writer)
        assert blobs.get_range(f"packs/{number:02x}/{number}.car", 0, 1) == b"x"
    blobs.release()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before
    assert blobs.get_range("packs/03/3.car", 0, 1) == b"x"
