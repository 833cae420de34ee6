"""The past of a bucket: which commits stay, views of them, differences, restoring, and forks.

It may use the rooms before it. A view must never answer from the rows of current objects: it reads the tree of its commit.
"""
