"""What keeps a store in shape: the background worker, compaction, and writing packs again in another encoding.

It may use all rooms before it. Nothing a user waits for may depend on it.
"""
