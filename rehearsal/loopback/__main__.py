"""Starts blue, green and the router, says where they are, and goes on until interrupted."""

import argparse
import contextlib
import signal
from collections.abc import Sequence

from rehearsal.loopback import HEADER, MARKER, Behaviour, Loopback
from rehearsal.loopback.program import REVISIONS


def _pair(text: str) -> tuple[float, float]:
    first, _, second = text.partition(",")
    return float(first), float(second)


def _header(text: str) -> tuple[str, str | None]:
    name, _, value = text.partition(":")
    return name.strip(), value.strip() or None


def main(arguments: Sequence[str] | None = None) -> None:
    """Start all three, say where they are, and go on until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.loopback", description=__doc__)
    parser.add_argument(
        "--header", type=_header, default=HEADER, metavar="NAME[:VALUE]", help="what asks for green"
    )
    parser.add_argument(
        "--marker", default=MARKER, metavar="NAME", help="the answers' header with the revision"
    )
    parser.add_argument(
        "--green-weight", type=float, default=0.0, metavar="PERCENT", help="of production traffic"
    )
    for colour in REVISIONS:
        group = parser.add_argument_group(colour)
        group.add_argument(f"--{colour}-latency", type=float, default=0.0, metavar="SECONDS")
        group.add_argument(f"--{colour}-errors", type=float, default=0.0, metavar="SHARE", help="from 0 to 1")
        group.add_argument(f"--{colour}-stall", type=_pair, metavar="SECONDS,EVERY")
    chosen = parser.parse_args(arguments)
    behaviours = {
        colour: Behaviour(
            latency_seconds=getattr(chosen, f"{colour}_latency"),
            errors=getattr(chosen, f"{colour}_errors"),
            stall=getattr(chosen, f"{colour}_stall"),
        )
        for colour in REVISIONS
    }
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        Loopback(
            header=chosen.header, marker=chosen.marker, green_weight=chosen.green_weight, **behaviours
        ) as loopback,
    ):
        for name, url in (
            ("router", loopback.url),
            ("blue", loopback.blue_url),
            ("green", loopback.green_url),
        ):
            print(f"{name:<6} {url}", flush=True)  # noqa: T201 - what it is run for
        signal.pause()


if __name__ == "__main__":
    main()
