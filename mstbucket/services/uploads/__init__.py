"""Multipart uploads: begin, parts, complete, abort; and copies from one store into another.

It may use `blocks` and `objects`. It must never know the tree.
"""
