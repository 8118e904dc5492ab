from __future__ import annotations

import time

import pytest

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.read.decode import Decoder
from execwhy.bpf.read.reporting import Reporter
from tests.unit.raw_record import raw_record


def test_losses_are_reported_about_every_second_while_records_keep_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, lost = 1000.0, 0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reporter = Reporter(Decoder(0), lambda: {"ring buffer full": lost})
    assert reporter.silent_losses(0, is_idle=True, is_ending=False) == []
    reported: list[Loss] = []
    for tick in range(50):
        now, lost = now + 0.1, lost + 7
        losses = reporter.silent_losses(tick, is_idle=False, is_ending=False)
        reported += [loss for loss in losses if isinstance(loss, Loss)]
    assert 3 <= len(reported) <= 5
    losses = reporter.silent_losses(50, is_idle=True, is_ending=True)
    assert sum(loss.count for loss in [*reported, *losses] if isinstance(loss, Loss)) == lost


def test_a_loss_that_a_record_reports_later_is_not_reported_again() -> None:
    reporter = Reporter(Decoder(0), lambda: {"ring buffer full": 9})
    assert reporter.silent_losses(1, is_idle=False, is_ending=True) == [Loss(1, 9, "ring buffer full")]
    reports = reporter.decode(raw_record(lost_before=9))
    assert not any(isinstance(report, Loss) for report in reports)
