"""PostgreSQL's edge: find the binaries, keep the embedded server, own psycopg, apply migrations.

`spec/store/08-postgres.md` is normative.
"""
