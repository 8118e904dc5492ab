"""Adding the results of looks to events."""

from __future__ import annotations

from collections.abc import Callable

from execwhy.bpf.caller.cgroups import where_of
from execwhy.bpf.events.arrivals import Event, Failure, Occurrence
from execwhy.bpf.events.identity_memo import Enricher, IdentityMemo
from execwhy.bpf.events.record import ExecFailure, Look


class Looks:
    """Adds the results of looks, so that occurrences keep sharing a record.

    Args:
        unlooked: Returns what to write about a failure that was not looked at in time.
    """

    def __init__(self, unlooked: Callable[[ExecFailure], Look]) -> None:
        self._unlooked = unlooked
        self._unlooked_template = IdentityMemo(unlooked)
        self._enricher = Enricher()

    def add(self, failure: Failure, look: Look) -> Failure:
        """Return a failure with what was found."""
        first = failure.template
        place = {} if look.cgroup is None else {"cgroup": look.cgroup, **where_of(look.cgroup)._asdict()}
        return self._enricher.enrich(
            failure,
            look,
            diagnosis=look.diagnosis,
            binary=look.binary or first.binary,
            interpreter_path=look.interpreter_path or first.interpreter_path,
            **place,
        )

    def add_none(self, event: Event | Occurrence) -> Event | Occurrence:
        """Return an event that was not looked at in time."""
        failure = event.failure
        if failure is None:
            return event
        template = failure.template
        # One look for all occurrences of a record.
        look = self._unlooked(template) if template is failure else self._unlooked_template(template)
        return self.add(failure, look)
