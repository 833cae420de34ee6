"""The tree: build it, change it, walk it, compare two of it, prove what it holds.

It may use the rest of `core`. It must never know who keeps the blocks, nor share code with `verify`.
"""
