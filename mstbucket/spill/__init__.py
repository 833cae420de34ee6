"""Sets and sorts that stay in memory up to a bound and go to temporary files past it.

It may use `core` for CIDs. It must never know what the sets are for.
"""
