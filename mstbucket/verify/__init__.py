"""The judge: it decides whether a CAR, a tree, a manifest or a proof is what it claims to be.

It may use the codecs of `core` and `spill`. It must never use `core.mst`: who judges the tree does not build it.
"""
