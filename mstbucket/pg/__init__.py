"""PostgreSQL's edge: find the binaries, keep the embedded server, own psycopg, apply migrations.

It may use `errors`. It must never know what the tables mean. `spec/store/08-postgres.md` is normative.
"""
