"""Blocks and packs of one open store: where each block is, packs on their way in, how new ones are written.

The lowest room of `services`. It must never know objects or buckets.
"""
