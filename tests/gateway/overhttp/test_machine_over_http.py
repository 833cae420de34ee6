"""Any sequence of calls through two gateways on one store against the model of S3: what one answered the other knows."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from httperrors import CannotSay
from httpstore import HttpStore
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from s3machine import S3Machine

pytestmark = pytest.mark.early

#: What the machine draws and boto3 has no words for; such a call is left out.
UNSAID = {"DeleteObject has no If-None-Match", "DeleteObjects names one key at least",
          "a header holds no line break"}  # fmt: skip

#: What fails is not made smaller: that takes some minutes of requests. The long run of `test_machine` finds it small.
PHASES = (Phase.explicit, Phase.generate)


@pytest.fixture
def machine(limited: Callable[[], HttpStore], caplog: pytest.LogCaptureFixture) -> Any:
    """The machine, whose every call goes to either gateway."""
    caplog.set_level(logging.ERROR, "botocore.handlers")  # each time that `Expires` is no time

    class Here(S3Machine):
        names = (f"bucket-{number}" for number in itertools.count())

        @staticmethod
        def open_store(place: int) -> Any:
            return limited()

        def agree(self, real: Callable[[], Any], model: Callable[[Any], Any]) -> tuple[Any, Any] | None:
            try:
                return super().agree(real, model)
            except CannotSay as unsaid:
                if str(unsaid) not in UNSAID:
                    raise
                return None

        def reopen(self) -> None:
            """The gateways stay open: what they do when they end is seen in `test_serve`."""

        def leave(self, sure: int) -> None:
            """A bucket does not leave through a gateway."""

    return Here


@pytest.mark.timeout(1800)  # some seconds, where the machine has nothing else to do
def test_any_sequence_of_calls_through_two_gateways_is_that_of_s3(machine: Any) -> None:
    """[GW-22]"""
    run_state_machine_as_test(machine, settings=settings(max_examples=3, stateful_step_count=15, phases=PHASES))


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_many_long_sequences_of_calls_through_two_gateways_are_those_of_s3(machine: Any) -> None:
    """The same for an hour or two."""
    run_state_machine_as_test(machine, settings=settings(max_examples=600, stateful_step_count=50, phases=PHASES))
