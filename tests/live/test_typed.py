"""A record is the same whether the verifier follows the kernel's types or each member is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from execwhy.bpf.load import loader
from execwhy.bpf.load import support as kernel
from execwhy.bpf.read.reader import KernelSource
from tests.live.error_cases import ERRORS
from tests.live.exec_child import attempted
from tests.live.expectation import check
from tests.live.listener import PLAN, Listener
from tests.live.zoo import Zoo

ONLY = "from execwhy.bpf.load import probe; probe._ways = lambda plan: ({},); probe.main()"


def test_this_kernel_knows_the_types() -> None:
    assert kernel.knows_types()


@pytest.mark.parametrize("typed", [True, False], ids=["types are followed", "members are read"])
def test_records_are_correct_with_and_without_typed_access(
    typed: bool, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = loader._RUN.partition("from execwhy.bpf")[0] + ONLY.format(typed)
    assert run != loader._RUN
    monkeypatch.setattr(loader, "_RUN", run)
    source = KernelSource(plan=PLAN)
    listener = Listener(source)
    try:
        listener.start()
        for case in ERRORS:
            with attempted(case.prepare(zoo)) as attempt:
                (record,) = listener.records_of(attempt.caller.pid, attempt.before)
                expected = case.expected(zoo, attempt)
                if listener.plan == "tracepoint" and not typed:
                    # The mapping of the memory is known only by following types.
                    assert record.path is None or record.path_source in ("user", "kernel")
                    expected = replace(expected, path_in_doubt=True)
                check(record, attempt, expected)
    finally:
        source.close()
