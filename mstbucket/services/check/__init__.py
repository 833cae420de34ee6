"""Checking and repairing: findings about a whole store, each with a stable code, and the verbs that mend them.

It may use the rooms before it. A check must never change anything; a repair must never lose anything unasked.
"""
