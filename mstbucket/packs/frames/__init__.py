"""Packs in frames: compressed, encrypted or both, cut between sections; and the keys for that.

It may use `blobs` and `core`. It must never know which packs a store has.
"""
