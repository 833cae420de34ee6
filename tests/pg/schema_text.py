"""`spec/store/schema.sql`: what the catalog of a fresh database holds, as text in one stable order.

`python tests/pg/schema_text.py` writes it again; `test_schema.py` compares. Made from the catalog and not by pg_dump, whose
text changes from release to release. Bodies of functions stand as they were written; definitions of views, defaults and
checks as the server prints them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.migrate import migrate

PLACE = Path(__file__).parents[2] / "spec" / "store" / "schema.sql"

_HEAD = """\
-- The tables, functions and views of the schema `mstbucket`, as the catalog of a fresh database holds them. Generated from
-- mstbucket/pg/migrations/, where the reasons stand, by tests/pg/schema_text.py: change it there.
-- Only the views are for others to read (17-attributes.md); the rest may change with any release.
"""
_RELATIONS = """
    SELECT c.oid, c.relname, c.relkind, c.reloptions, obj_description(c.oid, 'pg_class'),
           (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid)
    FROM pg_class c WHERE c.relnamespace = 'mstbucket'::regnamespace AND c.relkind = %s ORDER BY c.relname COLLATE "C"
"""
_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid),
           l.collname, a.attstorage, t.typstorage
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default'
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = %s AND contype IN ('p', 'u', 'c', 'f')
    ORDER BY contype = 'f', contype = 'c', contype = 'u',
        conname COLLATE "C"
"""
_INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = %s AND NOT EXISTS (
        SELECT FROM pg_constraint n WHERE n.conindid = i.indexrelid AND n.contype IN ('p', 'u'))
    ORDER BY c.relname COLLATE "C"
"""
_SEQUENCES = """
    SELECT s.seqrelid::regclass::text, s.seqcache FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
    WHERE c.relnamespace = 'mstbucket'::regnamespace AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i')
    ORDER BY 1
"""
_FUNCTIONS = """
    SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'mstbucket'::regnamespace
    ORDER BY p.proname COLLATE "C", pg_get_function_identity_arguments(p.oid) COLLATE "C"
"""
_RESERVED = {"offset"}
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}


def schema_text(connection: Any) -> str:
    """The text for the schema that *connection* sees."""
    return "\n".join([_HEAD, *_tables(connection), *_functions(connection), *_views(connection)])


def _rows(connection: Any, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(query, arguments).fetchall()
    return rows


def _tables(connection: Any) -> Iterator[str]:
    for name, cache in _rows(connection, _SEQUENCES):
        yield f"CREATE SEQUENCE {name} CACHE {cache};\n"
    for oid, name, _, options, comment, toast_options in _rows(connection, _RELATIONS, "r"):
        columns = _rows(connection, _COLUMNS, oid)
        lines = [_column(*column[:6]) for column in columns]
        lines += [f"    CONSTRAINT {name} {definition}" for name, definition in _rows(connection, _CONSTRAINTS, oid)]
        set_to = [*(options or []), *(f"toast.{option}" for option in toast_options or [])]
        ending = f"\n) WITH ({', '.join(set_to)});" if set_to else "\n);"
        yield f"CREATE TABLE {name} (\n" + ",\n".join(lines) + ending
        for column in columns:
            if column[6] != column[7]:
                yield f"ALTER TABLE {name} ALTER COLUMN {column[0]} SET STORAGE {_STORAGE[column[6]]};"
        for (index,) in _rows(connection, _INDEXES, oid):
            yield index.replace(" ON mstbucket.", " ON ") + ";"
        if comment is not None:
            yield f"COMMENT ON TABLE {name} IS '{comment}';"
        yield ""


def _column(name: str, kind: str, needed: bool, identity: str, default: str | None, collation: str | None) -> str:
    words = [name if name not in _RESERVED else f'"{name}"', kind]
    if collation is not None:
        words.append(f'COLLATE "{collation}"')
    if needed:
        words.append("NOT NULL")
    if identity == "a":
        words.append("GENERATED ALWAYS AS IDENTITY")
    if default is not None:
        words.append(f"DEFAULT {default}")
    return "    " + " ".join(words)


def _functions(connection: Any) -> Iterator[str]:
    for (definition,) in _rows(connection, _FUNCTIONS):
        yield definition.replace("CREATE OR REPLACE FUNCTION mstbucket.", "CREATE FUNCTION ").rstrip() + ";\n"


def _views(connection: Any) -> Iterator[str]:
    for oid, name, _, _, comment, _ in _rows(connection, _RELATIONS, "v"):
        ((query,),) = _rows(connection, "SELECT pg_get_viewdef(%s)", oid)
        yield f"CREATE VIEW {name} AS\n{query}"
        if comment is not None:
            yield f"COMMENT ON VIEW {name} IS '{comment}';"
        yield ""


def main() -> None:
    """Write the file, by a server of our own."""
    with tempfile.TemporaryDirectory(prefix="mstbucket-schema-") as folder, EmbeddedPostgres(folder) as server:
        with Database(server.conninfo) as db:
            migrate(db)
            with db.reading() as connection:
                PLACE.write_text(schema_text(connection))
        server.close()
        server.await_stopped()


if __name__ == "__main__":
    main()
