"""PostgreSQL's edge: find the binaries, keep the embedded server, own psycopg, apply migrations. See spec/08-postgres.md."""
