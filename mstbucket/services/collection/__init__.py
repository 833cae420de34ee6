"""Collection: what nothing reaches any more goes, and the packs that held it.

It may use the rooms before it. It must never free a block that a row of any kind, a kept commit or a lease reaches.
"""
