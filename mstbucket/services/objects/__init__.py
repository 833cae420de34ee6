"""Objects: put, read, list, copy, delete, tags; and their versions.

It may use `blocks`. It must never know the tree: a flush folds what is written here.
"""
