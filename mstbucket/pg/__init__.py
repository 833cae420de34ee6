"""PostgreSQL's edge: find the binaries, keep the embedded server, own psycopg, apply migrations.

`spec/08-postgres.md` is normative.
"""
