"""Each plan on each of Debian's kernels records every kind of failure with all available facts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kernels.boots import BOOTS
from tests.kernels.guest import PROJECT, GuestError, Luggage, run_in
from tests.kernels.kinds import KINDS
from tests.kernels.luggage import pack, packages, python
from tests.kernels.results import RESULTS, Results
from tests.live.zoo import Zoo, built_zoo

AT_ONCE: Final = 2
"""Guests: each keeps about one processor busy."""


class Guests:
    """The results of each boot: each kernel is booted once, and does everything in that boot."""

    def __init__(self, directory: Path, zoo: Zoo, luggage: Luggage) -> None:
        self._directory = directory
        self._zoo = zoo
        self._luggage = luggage
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._boots = {boot: self._pool.submit(self._boot, boot) for boot in BOOTS}

    def results(self, boot: str) -> dict[str, Any]:
        """Return the results of a boot; wait for its end."""
        return self._boots[boot].result()

    def known(self) -> Results:
        """Return the results of all boots."""
        return {boot: self.results(boot) for boot in BOOTS}

    def _boot(self, boot: str) -> dict[str, Any]:
        share = self._directory / boot.replace(" ", "-")
        share.mkdir()
        output = share / "results.json"
        command = [
            "env",
            f"PYTHONPATH={packages()}:{PROJECT}/.venv/checkout",
            python(),
            "-s",
            "-m",
            "tests.kernels.inside",
            str(output),
        ]
        command += [self._zoo.directory, self._zoo.loader, boot]
        series, append = BOOTS[boot].series, BOOTS[boot].append
        try:
            finished = run_in(series, command, append=append, share=share, luggage=self._luggage)
        except GuestError as error:
            return {"failed": str(error), "plans": {}}
        if finished.status or not output.exists():
            return {"failed": finished.output[-3000:], "plans": {}}
        results: dict[str, Any] = json.loads(output.read_text())
        return results


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Guests]:
    directory = tmp_path_factory.mktemp("guests")
    with built_zoo() as zoo:
        guests = Guests(directory, zoo, pack(directory / "luggage.tar", zoo.directory))
        pytestconfig.stash[RESULTS] = guests.known()
        yield guests


@pytest.mark.parametrize("boot", BOOTS)
def test_the_kernel_boots_and_all_plans_work(boot: str, guests: Guests) -> None:
    result = guests.results(boot)
    assert "failed" not in result, result["failed"]
    assert result["release"].startswith(f"{BOOTS[boot].series}.")
    assert {plan: outcome["obstacles"] for plan, outcome in result["plans"].items()} == {
        plan: [] for plan in BOOTS[boot].plans
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("boot", "plan"), [(name, plan) for name in BOOTS for plan in BOOTS[name].plans])
def test_every_available_fact_is_correct(boot: str, plan: str, kind: str, guests: Guests) -> None:
    verdicts = guests.results(boot)["plans"].get(plan, {}).get("verdicts", [])
    problems = [verdict["problem"] for verdict in verdicts if verdict["kind"] == kind]
    assert problems == [""]


@pytest.mark.parametrize(("boot", "name"), [(name, look) for name in BOOTS for look in BOOTS[name].once])
def test_every_check_that_runs_once_per_boot_passes(boot: str, name: str, guests: Guests) -> None:
    verdicts = guests.results(boot).get("once", [])
    problems = [verdict["problem"] for verdict in verdicts if verdict["kind"] == name]
    assert problems == [""]
