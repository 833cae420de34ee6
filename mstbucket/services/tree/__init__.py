"""The tree of a bucket: a new bucket, flush, export, import, check, and the refs that publish commits.

It may use the rooms before it. It must never answer a read of current data: the index does.
"""
