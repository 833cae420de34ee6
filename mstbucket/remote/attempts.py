"""One call to a service, tried a bounded number of times. The retries of botocore are off: it repeats blindly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from mstbucket.errors import OutcomeUnknown, StorageError
from mstbucket.remote.failures import understand

TRIES: Final = 6  # 6 s of waiting at most, 4 on average: what throttling and a restart behind a balancer take
FIRST_WAIT: Final = 0.2  # seconds, doubled each time
LONGEST_WAIT: Final = 8.0

_random: Final = random.Random()  # whoever seeds Python's own would have all processes wait alike
T = TypeVar("T")


class Attempts:
    """The attempts at one call, and at reading its answer. What is a declared error already goes through at once.

    Attributes:
        unsure: an attempt failed in a way that may have had its effect.
        code: the service's error code of the last failure, or its HTTP status; "" where there was no answer.
    """

    def __init__(self, what: str, where: str) -> None:
        """`what` and `where` are for messages: "an object cannot be read", "s3://bucket/key"."""
        self._what = what
        self._where = where
        self.unsure = False
        self.code = ""

    def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns. Try again where that may help, after a random and growing wait ([S3B-5]).

        It is for calls that can be repeated without harm.

        Raises:
            StorageError: the last failure, saying what, where and what to do.
            NoSuchKey, PreconditionFailed, Unsupported, InvalidInput: the service said so.
        """
        for number in range(TRIES):
            try:
                return work()
            except Exception as error:
                failure = understand(error, self._what, self._where)
                if failure is None:
                    raise
                self.unsure |= failure.unsure
                self.code = failure.code
                if not failure.again or number == TRIES - 1:
                    raise failure.error from error
            self._wait(number)
        raise AssertionError("not reached")

    def run_visible(self, work: Callable[[], Any]) -> Any:
        """As `run`, for a call whose effect others see.

        Raises:
            OutcomeUnknown: it failed in the end, and one of the attempts may have had its effect.
        """
        try:
            return self.run(work)
        except StorageError as error:
            if self.unsure:
                raise OutcomeUnknown(f"{error}; it may have happened: look before repeating it") from error
            raise

    def _wait(self, number: int) -> None:
        time.sleep(_random.uniform(0.5, 1.0) * min(LONGEST_WAIT, FIRST_WAIT * 2**number))
