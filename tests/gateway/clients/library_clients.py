"""What the client libraries do, each in a function. The Python that has them runs it: NAME ENDPOINT BUCKET FILE."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

KEY, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
ODD = ["a//b", "é/ü x+y", "%2F", "..", "a&b=c", "tail/"]


def minio(endpoint: str, bucket: str, file: str) -> None:
    from minio import Minio
    from minio.deleteobjects import DeleteObject

    client = Minio(endpoint.removeprefix("http://"), access_key=KEY, secret_key=SECRET, secure=False)
    client.fput_object(bucket, "large", file)
    client.fget_object(bucket, "large", file + ".back")
    same(file, file + ".back")
    for key in ODD[:3]:
        client.put_object(bucket, key, io.BytesIO(key.encode()), len(key.encode()), metadata={"place": "pier"})
        assert client.get_object(bucket, key).read() == key.encode()
    assert client.stat_object(bucket, ODD[0]).metadata["x-amz-meta-place"] == "pier"
    assert {one.object_name for one in client.list_objects(bucket, recursive=True)} == {"large", *ODD[:3]}
    assert not list(client.remove_objects(bucket, [DeleteObject(key) for key in ("large", *ODD[:3])]))


def s3fs(endpoint: str, bucket: str, file: str) -> None:
    import s3fs as library

    fs = library.S3FileSystem(client_kwargs={"endpoint_url": endpoint})
    fs.put(file, f"{bucket}/large")
    fs.get(f"{bucket}/large", file + ".back")
    same(file, file + ".back")
    for key in ("é/ü x+y", "a&b=c"):
        fs.pipe(f"{bucket}/{key}", key.encode())
        assert fs.cat(f"{bucket}/{key}") == key.encode()
    with fs.open(f"{bucket}/written", "wb") as out:
        for _ in range(3):
            out.write(bytes(6 << 20))
    assert fs.info(f"{bucket}/written")["size"] == 18 << 20
    assert fs.cat_file(f"{bucket}/large", start=10, end=20) == read(file)[10:20]
    fs.mv(f"{bucket}/written", f"{bucket}/moved/there")
    assert fs.ls(f"{bucket}/moved") == [f"{bucket}/moved/there"]
    for found in fs.find(bucket):
        fs.rm(found)
    assert fs.find(bucket) == []


def obstore(endpoint: str, bucket: str, file: str) -> None:
    import obstore as library
    from obstore.exceptions import AlreadyExistsError
    from obstore.store import S3Store

    store = S3Store(bucket, endpoint=endpoint, client_options={"allow_http": True}, virtual_hosted_style_request=False)
    body = read(file)
    library.put(store, "large", body)
    assert bytes(library.get(store, "large").bytes()) == body
    assert bytes(library.get_range(store, "large", start=5, end=15)) == body[5:15]
    library.put(store, "once", b"1", mode="create")
    try:
        library.put(store, "once", b"2", mode="create")
    except AlreadyExistsError:
        pass
    else:
        raise AssertionError("the second creation was not refused")
    library.copy(store, "once", "copy")
    assert {one["path"] for batch in library.list(store) for one in batch} == {"large", "once", "copy"}
    library.delete(store, ["large", "once", "copy"])


def pyarrow(endpoint: str, bucket: str, file: str) -> None:
    import pyarrow
    import pyarrow.dataset
    from pyarrow import fs

    system = fs.S3FileSystem(access_key=KEY, secret_key=SECRET, endpoint_override=endpoint, region="us-east-1")
    with system.open_output_stream(f"{bucket}/large") as out:
        out.write(read(file))
    with system.open_input_file(f"{bucket}/large") as back:
        assert back.read() == read(file)
    table = pyarrow.table({"part": [n % 3 for n in range(900)], "n": list(range(900))})
    pyarrow.dataset.write_dataset(table, f"{bucket}/set", format="parquet", filesystem=system, partitioning=["part"])
    found: Any = pyarrow.dataset.dataset(f"{bucket}/set", format="parquet", filesystem=system, partitioning=["part"])
    assert found.to_table(filter=pyarrow.dataset.field("part") == 1).num_rows == 300
    system.delete_dir_contents(bucket)


def icechunk(endpoint: str, bucket: str, file: str) -> None:
    import icechunk as library
    import zarr

    there = library.s3_storage(
        bucket=bucket, prefix="repository", region="us-east-1", endpoint_url=endpoint, allow_http=True,
        force_path_style=True, access_key_id=KEY, secret_access_key=SECRET,
    )  # fmt: skip
    repository = library.Repository.create(there)
    session = repository.writable_session("main")
    array = zarr.create_array(session.store, name="a", shape=(1000, 100), chunks=(100, 100), dtype="i4")
    array[:] = 7
    first = session.commit("sevens")
    session = repository.writable_session("main")
    zarr.open_array(session.store, path="a")[0, :] = 8
    session.commit("a row of eights")
    again = library.Repository.open(there)
    found: Any = zarr.open_array(again.readonly_session("main").store, path="a", mode="r")
    assert (found[0, 5], found[1, 5]) == (8, 7)
    before: Any = zarr.open_array(again.readonly_session(snapshot_id=first).store, path="a", mode="r")
    assert before[0, 5] == 7
    # two sessions from one commit: the second finds the branch moved, which the store tells by If-Match
    one, other = again.writable_session("main"), again.writable_session("main")
    for number, each in enumerate((one, other)):
        zarr.open_array(each.store, path="a")[5, :] = number
    one.commit("the first")
    try:
        other.commit("the second")
    except library.ConflictError:
        return
    raise AssertionError("the second of two commits was not refused")


def same(one: str, other: str) -> None:
    assert read(one) == read(other)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    {"minio": minio, "s3fs": s3fs, "obstore": obstore, "pyarrow": pyarrow, "icechunk": icechunk}[sys.argv[1]](*sys.argv[2:5])
