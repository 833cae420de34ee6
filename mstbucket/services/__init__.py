"""The protocols: in which order bytes, blobs and rows change so that nothing is lost and nothing half done shows.

Rooms, each using only those before it: blocks, objects, uploads, tree, policy, past, collection,
rebuild, check, upkeep, remotes. They must never hold SQL.
"""
