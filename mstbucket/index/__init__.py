"""All SQL of the store: one module for each group of tables, typed functions, rows with names.

It may use `pg`, `packs`, `core` and `model`. It must never hold a protocol: the order of steps is
for `services` to say.
"""
