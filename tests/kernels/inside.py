"""Run in the guest: make all checks of one boot, and write what is wrong as JSON.

python3 -m tests.kernels.inside OUTPUT ZOO LOADER BOOT
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from execwhy.bpf.load import support
from execwhy.bpf.program.plans import PLANS
from execwhy.bpf.read.reader import KernelSource
from tests.kernels.boots import BOOTS, Boot
from tests.kernels.kinds import Run
from tests.kernels.once import looks
from tests.kernels.tables import Tables, newest_table
from tests.live.listener import Listener
from tests.live.zoo import Zoo

Results = dict[str, object]


def under(plan: str, zoo: Zoo, *, witnessed: bool) -> Results:
    """Return the verdicts of every kind under a plan, or why the plan does not work here."""
    wanted = next(each for each in PLANS if each.name == plan)
    if obstacles := support.obstacles(wanted):
        return {"obstacles": obstacles, "verdicts": []}
    source = KernelSource(plan=plan)
    listener = Listener(source)
    newest = newest_table()
    began = time.monotonic()
    try:
        listener.start()
        loaded = round(time.monotonic() - began, 1)
        tables = Tables(newest)
        try:
            verdicts = [vars(one) for one in Run(plan, zoo, listener, tables, witnessed=witnessed).verdicts()]
        finally:
            tables.close()
    except (RuntimeError, TimeoutError) as error:
        return {"obstacles": [str(error)], "verdicts": []}
    finally:
        source.close()
    return {"obstacles": [], "loaded": loaded, "verdicts": verdicts}


def everything(boot: Boot, zoo: Zoo) -> Results:
    """Return all results of a boot."""
    began = time.monotonic()
    plans = {plan: under(plan, zoo, witnessed=plan == boot.plans[0]) for plan in boot.plans}
    once = [vars(verdict) for verdict in looks(boot, zoo)]
    return {
        "release": os.uname().release,
        "plans": plans,
        "once": once,
        "seconds": round(time.monotonic() - began),
    }


def main(output: str, directory: str, loader: str, boot: str) -> None:
    """Write the results; they are complete or not there."""
    # Without the console, whose name the test cannot read from /proc.
    os.setsid()
    results = everything(BOOTS[boot], Zoo(directory, loader))
    Path(f"{output}.new").write_text(json.dumps(results))
    os.rename(f"{output}.new", output)


if __name__ == "__main__":
    main(*sys.argv[1:])
