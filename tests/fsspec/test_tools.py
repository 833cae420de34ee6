"""Programs that people use: pandas, pyarrow, duckdb, zarr and xarray write through the file system, and read it back.

They need these packages, which the lock does not have: `pip install pandas pyarrow duckdb zarr xarray`.
"""

from __future__ import annotations

from collections.abc import Iterator

import fsspec
import pytest

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem

pytestmark = pytest.mark.datatools


@pytest.fixture
def options(fs: MstBucketFileSystem, store: mstbucket.Store) -> Iterator[dict[str, object]]:
    """What they call storage options."""
    yield {"store": store}
    MstBucketFileSystem.clear_instance_cache()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_pandas(options: dict[str, object], store: mstbucket.Store, kind: str) -> None:
    import pandas

    url = f"mstbucket://things/2026/rain.{kind}"
    table = pandas.DataFrame({"day": range(10_000), "mm": [n % 7 for n in range(10_000)]})
    getattr(table, f"to_{kind}")(url, index=False, storage_options=options)
    read = getattr(pandas, f"read_{kind}")
    assert table.equals(read(url, storage_options=options))
    commit = store.bucket("things").flush()
    table.head(1).to_csv(url, index=False, storage_options=options)
    assert table.equals(read(url.replace("things", f"things@{commit.cid}"), storage_options=options))


def test_pyarrow_datasets(fs: MstBucketFileSystem) -> None:
    import pyarrow
    import pyarrow.dataset
    import pyarrow.fs
    import pyarrow.parquet

    table = pyarrow.table({"year": [2024, 2025, 2026] * 1000, "value": list(range(3000))})
    pyarrow.parquet.write_to_dataset(table, "things/set", partition_cols=["year"], filesystem=fs)
    assert {path.split("/")[2] for path in fs.find("things/set")} == {"year=2024", "year=2025", "year=2026"}
    read = pyarrow.dataset.dataset("things/set", filesystem=fs, partitioning="hive")
    found = read.to_table(filter=pyarrow.dataset.field("year") == 2025)
    assert sorted(found["value"].to_pylist()) == list(range(1, 3000, 3))
    theirs = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    infos = theirs.get_file_info(pyarrow.fs.FileSelector("things/set", recursive=True))
    assert {info.path for info in infos if info.is_file} == set(fs.find("things/set"))
    theirs.delete_dir("things/set")
    assert fs.find("things") == []


def test_duckdb(fs: MstBucketFileSystem) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        connection.execute("COPY (SELECT range AS n FROM range(10000)) TO 'mstbucket://things/n.csv' (HEADER)")
        (total,) = connection.execute("SELECT sum(n) FROM read_csv('mstbucket://things/*.csv')").fetchone()
        connection.execute("COPY (SELECT range AS n FROM range(10000)) TO 'mstbucket://things/n.parquet'")
        (again,) = connection.execute("SELECT sum(n) FROM read_parquet('mstbucket://things/n.parquet')").fetchone()
    assert total == again == sum(range(10_000))


def test_zarr(options: dict[str, object], fs: MstBucketFileSystem) -> None:
    import numpy
    import zarr

    values = numpy.arange(10_000).reshape(100, 100)
    array = zarr.create_array(
        "mstbucket://things/cube.zarr", shape=(100, 100), chunks=(10, 50), dtype="i8", storage_options=options
    )
    array[:] = values
    assert len(fs.find("things/cube.zarr")) == 21
    again = zarr.open_array("mstbucket://things/cube.zarr", mode="r", storage_options=options)
    assert (again[:] == values).all()
    assert (again[3:40:7, 45:55] == values[3:40:7, 45:55]).all()


def test_xarray(options: dict[str, object], store: mstbucket.Store) -> None:
    import xarray

    url = "mstbucket://things/weather.zarr"
    data = xarray.Dataset({"rain": (("day", "hour"), [[day * 24 + hour for hour in range(24)] for day in range(30)])})
    data.to_zarr(url, consolidated=False, storage_options=options)
    store.bucket("things").create_snapshot("first")
    (data + 1).to_zarr(url, mode="w", consolidated=False, storage_options=options)
    with xarray.open_zarr(url, consolidated=False, storage_options=options) as now:
        assert now.equals(data + 1)
    with xarray.open_zarr("mstbucket://things@first/weather.zarr", consolidated=False, storage_options=options) as then:
        assert then.equals(data)


def test_a_local_cache_of_fsspec(options: dict[str, object], fs: MstBucketFileSystem, tmp_path: object) -> None:
    """It asks `ukey` whether what it has is still true."""
    fs.pipe_file("things/a", b"x")
    cached = fsspec.filesystem(
        "filecache", target_protocol="mstbucket", target_options=options, cache_storage=str(tmp_path), check_files=True
    )
    assert cached.cat_file("things/a") == b"x"
    fs.pipe_file("things/a", b"y")
    assert cached.cat_file("things/a") == b"y"
