"""`Store.database_url`: the address that SQLAlchemy and pandas take, and libpq without the name of the driver."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

import mstbucket
from mstbucket.pg.url import database_url


def test_it_answers_read_only_and_finds_the_views(store: mstbucket.Store) -> None:
    store.create_bucket("photos").put_object("a", b"1")
    url = store.database_url()
    assert url.startswith("postgresql+psycopg://")
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        assert connection.execute("SELECT key, size FROM v_objects WHERE bucket = 'photos'").fetchall() == [("a", 1)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM objects")


def test_every_part_of_a_connection_string_arrives() -> None:
    given = r"host='/a dir/with:@?#&' port=5433 user='a@b' password='p/w:d%' dbname='x y' sslmode=require options='-c a=b'"
    url = urlsplit(database_url(given))
    assert (url.username, url.password, url.path) == ("a%40b", "p%2Fw%3Ad%25", "/x%20y")
    query = parse_qs(url.query)
    assert (query["host"], query["port"], query["sslmode"]) == (["/a dir/with:@?#&"], ["5433"], ["require"])
    assert query["options"][0].startswith("-c a=b -c default_transaction_read_only=on")
    found = psycopg.conninfo.conninfo_to_dict(database_url(given).replace("+psycopg", "", 1))
    for name, value in psycopg.conninfo.conninfo_to_dict(given).items():
        assert found[name] == value or name == "options"
