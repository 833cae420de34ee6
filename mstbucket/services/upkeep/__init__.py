"""What keeps a store in shape: the background worker, compaction of packs, their rewriting.

It may use all rooms before it. Nothing a user waits for may depend on it.
"""
