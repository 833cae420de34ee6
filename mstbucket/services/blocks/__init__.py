"""Blocks and packs of one open store: what is where, packs on their way in, what is done to new ones.

The lowest room of `services`. It must never know objects or buckets.
"""
