"""Two stores keep a bucket in step: one reads from the other what it lacks, judges it, and switches once.

It may use the rooms before it. It must never judge or switch in a way of its own: `past.advance` and `tree.import_car` do.
"""
