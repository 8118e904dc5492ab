"""In the plans, a missed run of a hook that reports events counts as a lost event."""

from __future__ import annotations

import pytest

from execwhy.bpf.program.plans import PLANS, Hook, Plan

COUNTED_BY_THE_PROGRAM = "kretprobe"
"""A missed event of these hooks is counted when the task ends (miss_kernel_call of hooks_kprobe.c)."""


def hands_over_an_event(hook: Hook) -> bool:
    return hook.tail_call == "on_failure" or hook.program == "on_sys_exit"


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_missed_run_of_a_hook_that_reports_an_event_is_a_lost_event(plan: Plan) -> None:
    hooks = [*plan.hooks, *plan.all_failures]
    assert any(hook.is_event for hook in hooks)
    for hook in hooks:
        if hook.kind != COUNTED_BY_THE_PROGRAM:
            assert hook.is_event == hands_over_an_event(hook), hook
