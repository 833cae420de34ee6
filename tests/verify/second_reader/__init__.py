"""A second verifier, written from spec/format alone: slow, plain, and without one line of the package.

An oracle for the first one, and the proof that the text suffices. It holds a whole file and all its blocks in memory.
"""

from .replay import Refused, verify

__all__ = ["Refused", "verify"]
