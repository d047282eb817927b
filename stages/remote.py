"""Share what DVC's cache keeps through a remote, with clear errors and checked digests; a command, no stage of the DAG.

    python -m stages.remote check    can it be reached, read, written to; what of dvc.lock is there
    python -m stages.remote push     put there what dvc.lock names and it lacks
    python -m stages.remote pull     bring it here, and into the workspace

Raw files that can be drawn or fetched again stay at home, as dvc.yaml says. See docs/remote.md.
"""

import argparse
import math
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from erawise import errors, params, remotes
from erawise.progress import Shown
from erawise.remotes import Held, Out, Remote, size
from stages import paths

FLAGS = {"read_only": ["check"], "run_cache": ["push", "pull"], "force": ["pull"]}
"""Flags that only some actions have."""


@errors.reported
def main() -> None:
    given = _arguments()
    shown = Shown("remote", sys.stderr, time.monotonic)
    clock = {"now": lambda: datetime.now(UTC), "jobs": given.jobs, "seconds": given.timeout, "progress": shown}
    with remotes.opened(Path(), given.remote, **clock) as remote:
        print(f"remote {remote.place.name}: {remote.place.url}")
        {"check": _check, "push": _push, "pull": _pull}[given.action](remote, given)


def _check(remote: Remote, given: argparse.Namespace) -> None:
    left = remote.reach(write=not given.read_only)
    print(f"it can be reached{' and read' if given.read_only else ', read and written to'}{_clock(remote)}")
    if left:
        print(left)
    wanted, raw = _chosen(remote, given)
    held = remote.held(wanted, verify=given.verify)
    print("\n".join(_lines(held)))
    if raw:
        print(f"not looked for: {_listed(raw)}, as it can be drawn or fetched again")
    if broken := [one for one in held if one.damaged]:
        raise errors.InputError(
            f"remote {remote.place.name}: not what their digests say are {_damaged(remote, broken)}; "
            "run `python -m stages.remote push --verify` on a machine that has them"
        )
    if lacking := [one for one in held if one.missing]:
        raise errors.InputError(
            f"remote {remote.place.name}: {len(lacking)} of {len(held)} outs of dvc.lock are not whole there: "
            f"{_listed([one.out for one in lacking])}; run `python -m stages.remote push` on a machine that has them"
        )


def _push(remote: Remote, given: argparse.Namespace) -> None:
    left = remote.reach(write=True)
    _warn_of_clock(remote)
    if left:
        print(left)
    wanted, raw = _chosen(remote, given)
    held = remote.held(wanted, verify=given.verify)
    ready = remote.pushable(held)
    nowhere = [one for one in held if one not in ready]
    if broken := [one for one in ready if one.damaged]:
        print(f"damaged there and put there again: {_damaged(remote, broken)}")
    objects, count = remote.push(ready)
    print(f"pushed {objects} files, {size(count)}; {len({digest for one in ready for digest in one.objects}) - objects} were there")
    if raw:
        print(f"not pushed: {_listed(raw)}, as it can be drawn or fetched again (--raw pushes it all the same)")
    if given.run_cache:
        _drop_damaged_runs(remote)
        earlier = [out for out in remote.earlier_outs() if out.pushed or given.raw]
        objects, count = remote.push(remote.pushable(remote.held(earlier)))
        print(f"run cache: {remote.push_runs()} runs, and {objects} more files of theirs, {size(count)}")
    if nowhere:
        raise remote.nowhere(nowhere)


def _pull(remote: Remote, given: argparse.Namespace) -> None:
    remote.reach(write=False)
    _warn_of_clock(remote)
    if given.run_cache:
        print(f"run cache: {remote.pull_runs()} runs")
        _drop_damaged_runs(remote)
    wanted, raw = _chosen(remote, given)
    objects, count = remote.fetch(wanted, verify=given.verify)
    remote.checkout(wanted, force=given.force, anew=given.verify)
    print(f"pulled {objects} files, {size(count)}; the rest was in the cache; the workspace has {len(wanted)} outs of dvc.lock")
    if raw:
        print(f"not pulled: {_listed(raw)}, as it can be drawn or fetched again; `dvc repro --allow-missing` goes on without it")


def _drop_damaged_runs(remote: Remote) -> None:
    if dropped := remote.drop_damaged_runs():
        more = f" and {len(dropped) - remotes.LISTED} more" if len(dropped) > remotes.LISTED else ""
        print(f"run cache: removed here, as they can't be read: {', '.join(dropped[: remotes.LISTED])}{more}")


def _chosen(remote: Remote, given: argparse.Namespace) -> tuple[list[Out], list[Out]]:
    """The outs that are shared, and those that stay at home."""
    outs = remote.outs()
    everything = given.raw or not raw_comes_again()
    return [out for out in outs if out.pushed or everything], [out for out in outs if not (out.pushed or everything)]


def raw_comes_again() -> bool:
    """Whether the raw files can be drawn or fetched again, byte for byte."""
    p = params.load(paths.PARAMS)
    return p.data.source == "market" or (p.data.source == "numerai" and p.data.round is not None)


def _lines(held: list[Held]) -> list[str]:
    whole = [one for one in held if one.whole]
    lines = [f"| {'out':<44} | {'size':>9} | there |", f"|{'-' * 46}|{'-' * 10}:|-------|"]
    for one in held:
        there = len(one.objects) - len(one.missing) - len(one.damaged)
        lines.append(f"| {one.out.path:<44} | {size(one.out.size):>9} | {'yes' if one.whole else f'{there} of {len(one.objects)} files'} |")
    total = sum(one.out.size for one in held)
    return [*lines, f"{len(whole)} of {len(held)} outs are there, {size(sum(one.out.size for one in whole))} of {size(total)}"]


def _listed(outs: list[Out]) -> str:
    shown = ", ".join(f"{out.path} ({size(out.size)})" for out in outs[: remotes.LISTED])
    return shown + (f" and {len(outs) - remotes.LISTED} more" if len(outs) > remotes.LISTED else "")


def _damaged(remote: Remote, held: list[Held]) -> str:
    return ", ".join(f"{remote.place.object(digest)} of {one.out.path}" for one in held for digest in one.damaged)


def _clock(remote: Remote) -> str:
    if remote.skew is None:
        return ""
    return f"; {_skewed(remote.skew) or 'the clocks agree'}"


def _warn_of_clock(remote: Remote) -> None:
    if remote.skew is not None and (said := _skewed(remote.skew)):
        print(said)


def _skewed(skew: float) -> str:
    if abs(skew) <= remotes.SKEW:
        return ""
    return f"this machine's clock is {remotes.off(skew)} the server's, and S3 refuses 15 minutes: set it (NTP)"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.remote", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["check", "push", "pull"])
    parser.add_argument("--remote", metavar="NAME", help="of the remote, as `dvc remote list` has it; the default one where not given")
    parser.add_argument("--jobs", type=_jobs, help="files that go at once; as many as DVC takes where not given")
    parser.add_argument("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="how long a first answer is waited for")
    parser.add_argument("--raw", action="store_true", help="the raw files too, though they can be drawn or fetched again")
    parser.add_argument("--read-only", action="store_true", help="check: don't try to write, for those who have no right to")
    parser.add_argument("--verify", action="store_true", help="read all, and compare its digests: what is there; pull: the cache")
    parser.add_argument("--run-cache", action="store_true", help="push, pull: share what earlier runs gave as well")
    parser.add_argument("--force", action="store_true", help="pull: replace what was changed in the workspace and is in no cache")
    given = parser.parse_args()
    for flag, actions in FLAGS.items():
        if getattr(given, flag) and given.action not in actions:
            parser.error(f"--{flag.replace('_', '-')} changes nothing in {given.action}, only in {' and '.join(actions)}; leave it out")
    return given


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, more than 0")
    return seconds


def _jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of files, 1 or more")
    return int(text)


if __name__ == "__main__":
    main()
