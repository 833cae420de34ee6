"""The public API: stores, buckets and their verbs. Arguments and docstrings, no logic of its own.

It may use everything below. It must never hold a protocol, a rule or a line of SQL.
"""
