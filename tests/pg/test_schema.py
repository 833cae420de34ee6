"""The schema as the catalog of a fresh database holds it."""

from __future__ import annotations

import runpy
from pathlib import Path

from mstbucket.pg.database import Database


def test_the_schema_in_the_specification_is_that_of_a_fresh_database(database_url: str) -> None:
    """After a change of the migrations: `python tests/pg/schema_text.py`."""
    generator = runpy.run_path(str(Path(__file__).with_name("schema_text.py")))
    with Database(database_url) as db, db.reading() as connection:
        assert generator["schema_text"](connection) == generator["PLACE"].read_text(encoding="utf-8")
