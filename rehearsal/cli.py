"""The command line: ``rehearse``.

::

    rehearse                         the tour: the services of examples/unicorn_watch, live
    rehearse SCENARIO...             built-in ones by name, or YAML files
    rehearse TEMPLATE --service NAME a service of yours, read from the template that deploys it
    rehearse list                    scenarios, actors and switches there are
    rehearse check TEMPLATE...       what ECS or CloudFormation would reject, or what would bite
    rehearse import FILE             another system's canary configuration as settings of a hook
    rehearse backtest                what the canary hook would have said of days that are past
    rehearse replay RECORD...        compute a decision record's verdict again
    rehearse serve                   the rehearsal's AWS as an HTTP endpoint
    rehearse console                 the approver's console in a browser, with deployments to decide on
    rehearse schema                  JSON Schemas of the hooks' settings
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from rehearsal.document import DocumentError
from rehearsal.switches import Switches, each_alone, values

if TYPE_CHECKING:
    from rehearsal.outcome import Outcome
    from rehearsal.report.timeline import Timeline
    from rehearsal.runtimes import Clock, RuntimeName
    from rehearsal.scenario import Scenario
    from rehearsal.world import Rehearsal

AS_EXPECTED, NOT_AS_EXPECTED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 as expected, 1 not, 2 unusable input)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {
        "list": _list,
        "check": _check,
        "import": _import,
        "backtest": _backtest,
        "replay": _replay,
        "serve": _serve,
        "console": _console,
        "schema": _schema,
    }
    try:
        if given and given[0] in commands:
            return commands[given[0]](given[1:])
        return _rehearse(given)
    except DocumentError as error:
        print(f"rehearse: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough, as with `| head`. Python would complain once more while exiting.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Nobody knows how the rest would have ended. rich says the same.
        return NOT_AS_EXPECTED


REHEARSE_EPILOG = """\
A service of a template, as it is deployed, with a new revision that is healthy, with one that answers with
errors, and in every way that its hooks can tell:

  rehearse examples/unicorn_watch/template.yaml --service catalog
  rehearse examples/unicorn_watch/template.yaml --service catalog --green errors
  rehearse examples/unicorn_watch/template.yaml --service ui --green all

HOW the new revision is, or what people make of it     who can tell
  healthy                                              (goes through)
  unsigned                                             image trust
  errors, slow                                         smoke test (errors), load test, canary comparison
  errors-in-production, slow-in-production             canary comparison
  rejected, undecided                                  manual approval, PAUSE
  poisons, silent                                      consumer activation
  alarm                                                the deployment's alarms
  all                                                  each of these that its hooks can tell

Other commands, each with --help: rehearse list | check | import | backtest | replay | serve | console |
schema. Exit code 0: every scenario ended as it expects; 1: one did not; 2: something can't be read."""


def _rehearse(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse",
        description="Rehearse Amazon ECS deployments with their lifecycle hooks, on a laptop, without AWS.",
        epilog=REHEARSE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help="built-in name or YAML file, or one CloudFormation TEMPLATE; default: the tour",
    )
    parser.add_argument("--all", action="store_true", help="every scenario that `rehearse list` names")
    of_template = parser.add_argument_group(
        "of a template", "Strategy, hooks, their settings, time-outs and alarms are read; who acts is added."
    )
    of_template.add_argument(
        "--service", metavar="NAME", help="which service: its name, logical id, or nested stack"
    )
    of_template.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the template; repeatable"
    )
    of_template.add_argument(
        "--green",
        action="append",
        default=[],
        metavar="HOW",
        help="how the new revision is, see below; repeatable, one run each; default: healthy",
    )
    of_template.add_argument(
        "--save",
        type=Path,
        metavar="FILE.yaml",
        help="write the run as a scenario to change, and don't run it",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of everything random; equal seeds, equal runs"
    )
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="run each scenario with seeds S, S+1, ..."
    )
    parser.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an undocumented behaviour of ECS; may be repeated",
    )
    parser.add_argument("--switches", choices=["all"], help="every value of every switch, one at a time")
    parser.add_argument(
        "--lambda",
        dest="runtime",
        choices=["in-process", "rie", "sam"],
        default="in-process",
        help="where hooks run: here, under Lambda's Runtime Interface Emulator, or in `sam local`",
    )
    parser.add_argument(
        "--clock", choices=["virtual", "real"], default="virtual", help="real waits as long as ECS would"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes for many runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report to look at in a browser")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="write what the terminal shows as an SVG, for a README"
    )
    options = parser.parse_args(given)
    if options.repeat < 1 or options.jobs < 1:
        parser.error("--repeat and --jobs take a number of at least 1")

    from rehearsal.report.timeline import Timeline

    for report in (options.json, options.html, options.picture):
        # Said before the runs, not after them.
        if report and (report.is_dir() or not report.parent.is_dir()):
            raise DocumentError(
                f"{report}: can't be written: {report.parent} is no folder, or it is one itself"
            )
    switches = _switches(options.switch)
    scenarios = _scenarios(options)
    if options.save:
        return AS_EXPECTED
    many = options.repeat > 1 or options.switches == "all"
    if options.runtime == "sam" and options.clock == "virtual":
        options.clock = "real"  # the time inside SAM's containers can't be moved
    with Timeline() as timeline:
        if many:
            variants = [{**switches, **chosen.model_dump(exclude_defaults=True)} for chosen in each_alone()]
            runs = [
                (scenario, seed, variant)
                for scenario in scenarios
                for variant in (variants if options.switches else [switches])
                for seed in range(options.seed, options.seed + options.repeat)
            ]
            keep = bool(options.json or options.html or options.picture)
            held, outcomes = _many(timeline, runs, options, keep=keep)
        else:
            outcomes = _tour(timeline, scenarios, options, switches)
            held = all(outcome.as_expected for outcome in outcomes)
    if options.json:
        _write_json(outcomes, options.json)
    if options.html:
        from rehearsal.report.page import write_page

        write_page(outcomes, options.html)
    if options.picture:
        from rehearsal.report.terminal_picture import write_terminal_picture

        write_terminal_picture(outcomes, options.picture)
    return AS_EXPECTED if held else NOT_AS_EXPECTED


def _scenarios(options: argparse.Namespace) -> "list[Scenario]":
    """Return what is to be run; a template's service is introduced as it was read."""
    from rehearsal.from_template import is_template
    from rehearsal.scenario import Scenario, built_in, find, tour

    if options.all and options.scenarios:
        raise DocumentError("--all: names no scenario beside it; leave one of them out")
    if not options.scenarios:
        files = list((built_in() if options.all else tour()).values())
    else:
        files = [find(name) for name in options.scenarios]
    templates = [file for file in files if options.scenarios and is_template(file)]
    if templates:
        if len(files) > 1:
            raise DocumentError(
                f"{templates[0]}: is a template; rehearse one at a time, and nothing beside it"
            )
        from rehearsal.template_run import scenarios_of_template

        return scenarios_of_template(
            templates[0],
            options.service,
            parameters=_pairs(options.parameter),
            green=options.green,
            save=options.save,
        )
    for name in ("service", "parameter", "green", "save"):
        if getattr(options, name):
            what = f"{files[0]}: " if options.scenarios else ""
            raise DocumentError(
                f"{what}--{name} belongs to a CloudFormation template, and "
                + ("there are no Resources here" if options.scenarios else "none is named")
            )
    return [Scenario.read(file) for file in files]


@contextlib.contextmanager
def _rehearsal(runtime: "RuntimeName", clock: "Clock") -> "Iterator[Rehearsal]":
    from rehearsal.runtimes import open_rehearsal

    with open_rehearsal(runtime, clock) as rehearsal:
        yield rehearsal


def _tour(
    timeline: "Timeline",
    scenarios: "Sequence[Scenario]",
    options: argparse.Namespace,
    switches: dict[str, str],
) -> "list[Outcome]":
    outcomes = []
    with _player(scenarios, options, switches) as play:
        for scenario in scenarios:
            timeline.scenario_started(
                scenario.name,
                scenario.description,
                f"{scenario.service.name} in {scenario.service.cluster}"
                + (f", from {scenario.template.file}" if scenario.template else ""),
                scenario.strategy.type,
                scenario.service.exposure,
                options.seed,
                {**scenario.switches.model_dump(exclude_defaults=True), **switches},
            )
            outcome = play(scenario, timeline)
            timeline.scenario_ended(outcome)
            outcomes.append(outcome)
    if len(outcomes) > 1:
        timeline.tour_ended(outcomes)
    return outcomes


@contextlib.contextmanager
def _player(
    scenarios: "Sequence[Scenario]", options: argparse.Namespace, switches: dict[str, str]
) -> "Iterator[Callable[[Scenario, Timeline], Outcome]]":
    """Yield what plays the scenarios, in their order, on a timeline."""
    is_quick = options.runtime == "in-process" and options.clock == "virtual"
    if options.jobs == 1 or not is_quick or len(scenarios) < MANY_SCENARIOS:
        with _rehearsal(options.runtime, options.clock) as rehearsal:
            yield lambda scenario, timeline: rehearsal.run(
                scenario, seed=options.seed, switches=switches, saw=timeline.saw
            )
        return
    # Each takes a second or less: what other processes have played meanwhile is told as if it were now.
    with ProcessPoolExecutor(options.jobs, initializer=_open_in_worker, initargs=(options.clock,)) as pool:
        batches = pool.map(_run_in_worker, ([(scenario, options.seed, switches)] for scenario in scenarios))

        def play(_scenario: "Scenario", timeline: "Timeline") -> "Outcome":
            (outcome,) = next(batches)
            for happening in outcome.happenings:
                timeline.saw(happening)
            return outcome

        yield play


Run = tuple["Scenario", int, dict[str, str]]

# From so many on, starting processes is made good by what they share out among them.
MANY_SCENARIOS = 6

# Runs handed to a worker process at a time: enough to make the hand-over cheap, few enough for progress.
RUNS_A_BATCH = 10


def _many(
    timeline: "Timeline", runs: Sequence[Run], options: argparse.Namespace, *, keep: bool
) -> "tuple[bool, list[Outcome]]":
    """Run many, in worker processes where that is possible; outcomes are kept only when they are written."""
    held, outcomes = True, []
    timeline.repeat_started(len(runs))
    for outcome in _outcomes(runs, options):
        timeline.repeat_advanced(outcome)
        held = held and outcome.as_expected
        if keep:
            outcomes.append(outcome)
    timeline.repeat_ended()
    return held, outcomes


def _outcomes(runs: Sequence[Run], options: argparse.Namespace) -> "Iterator[Outcome]":
    # Other runtimes have processes of their own, which are dearer to start than to wait for.
    if options.jobs == 1 or options.runtime != "in-process" or len(runs) <= RUNS_A_BATCH:
        with _rehearsal(options.runtime, options.clock) as rehearsal:
            for scenario, seed, switches in runs:
                yield rehearsal.run(scenario, seed=seed, switches=switches)
        return
    with ProcessPoolExecutor(options.jobs, initializer=_open_in_worker, initargs=(options.clock,)) as pool:
        for batch in pool.map(_run_in_worker, batched(runs, RUNS_A_BATCH, strict=False)):
            yield from batch


# A worker process has one rehearsal, which is open until the process ends.
_worker = contextlib.ExitStack()
_worker_rehearsals: "list[Rehearsal]" = []


def _open_in_worker(clock: "Clock") -> None:
    _worker_rehearsals.append(_worker.enter_context(_rehearsal("in-process", clock)))


def _run_in_worker(runs: Sequence[Run]) -> "list[Outcome]":
    (rehearsal,) = _worker_rehearsals
    return [rehearsal.run(scenario, seed=seed, switches=switches) for scenario, seed, switches in runs]


def _switches(pairs: Sequence[str]) -> dict[str, str]:
    chosen = _pairs(pairs)
    try:
        Switches.model_validate(chosen)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        if name in Switches.model_fields:
            raise DocumentError(f"--switch {name}: it can be {' or '.join(values(name))}") from error
        raise DocumentError(f"--switch {name}: there is no such switch; see `rehearse list`") from error
    return chosen


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _write_json(outcomes: "Sequence[Outcome]", file: Path) -> None:
    from rehearsal.outcome import Outcome

    file.write_bytes(TypeAdapter(list[Outcome]).dump_json(list(outcomes), indent=1) + b"\n")


def _list(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="rehearse list", description="List scenarios, actors and switches.")
    parser.add_argument(
        "what", nargs="?", choices=["scenarios", "actors", "switches"], help="default: all three"
    )
    options = parser.parse_args(given)

    from rehearsal.actors import kinds
    from rehearsal.report.listing import print_listing
    from rehearsal.scenario import TOUR, Scenario, built_in

    sections: dict[str, list[tuple[str, str]]] = {}
    if options.what in {None, "scenarios"}:
        rows = [(name, Scenario.read(file).description) for name, file in built_in().items()]
        sections["scenarios of the tour: rehearse"] = [row for row in rows if row[0] in TOUR]
        sections["scenarios beside it: rehearse NAME..., rehearse --all"] = [
            row for row in rows if row[0] not in TOUR
        ]
    if options.what in {None, "actors"}:
        sections["actors"] = [
            (
                f"{name}: {{{', '.join(info.alias or key for key, info in kind.model_fields.items())}}}",
                kind.__doc__ or "",
            )
            for name, kind in kinds().items()
        ]
    if options.what in {None, "switches"}:
        sections["switches"] = [
            (f"{name}={'|'.join(values(name))}", info.description or "")
            for name, info in Switches.model_fields.items()
        ]
    print_listing(sections)
    return AS_EXPECTED


def _check(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse check",
        description="Say what ECS or CloudFormation would reject in a template's services and hooks, "
        "or what would bite.",
        epilog="Exit code 0: nothing, or warnings only; 1: errors (with --strict: anything); 2: unreadable.",
    )
    parser.add_argument(
        "templates", nargs="+", metavar="TEMPLATE", help="CloudFormation or SAM, YAML or JSON"
    )
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a template parameter"
    )
    parser.add_argument("--strict", action="store_true", help="let warnings fail as well")
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    options = parser.parse_args(given)

    from rehearsal.check import run

    return run(
        options.templates,
        parameters=_pairs(options.parameter),
        json_output=options.json,
        strict=options.strict,
        stdout=sys.stdout,
    )


def _import(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse import",
        description="Print a Kayenta canary config or an Argo AnalysisTemplate as settings of the canary "
        "comparison hook, and a note on each thing that does not carry over.",
        epilog="Exit code 0: at least one metric is translated; 1: none is; 2: unreadable.",
    )
    parser.add_argument("file", metavar="FILE", help="JSON or YAML; of Argo, several templates in one file")
    parser.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", help="a value of Argo's {{args.NAME}}"
    )
    parser.add_argument("--json", action="store_true", help="print settings and notes in one document")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there what would be printed")
    options = parser.parse_args(given)

    from rehearsal.imports import run

    return run(
        options.file,
        arguments=_pairs(options.arg),
        json_output=options.json,
        output=options.output,
        stdout=sys.stdout,
        stderr=sys.stderr,
    )


BACKTEST_EXAMPLE = """\
FILE.csv has a row for each minute of each metric, times in ISO 8601 with a zone:

  run,time,metric,green_bad,green_total,blue_bad,blue_total,green,blue
  monday,2026-03-02T12:00Z,errors,0,52,4,948,,
  monday,2026-03-02T12:00Z,p99,,,,,212.5,208.1

run names a deployment; leave the column out where there is only one. A metric that counts (errors,
connectionErrors, slow) fills the first four values, a gauge the last two. Metrics are called as in the
settings. An empty cell, or no row, is a minute that is not known, which is not zero.

The settings are what hookDetails would be. {metrics: [{source: alb, measure: errors}]} compares errors
alone; with no metrics named, all three of the preset alb are needed.

  rehearse backtest --metrics examples/canary_backtest/week.csv \\
                    --settings examples/canary_backtest/settings.yaml --html week.html

Each run is judged as if its step had been held from its first minute to its last and looked at every
minute, and is then looked back at. holdMinutes and mode say nothing here.

Exit code 0: no run would have been refused; 1: one would; 2: something can't be read."""


def _backtest(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse backtest",
        description="Say what the canary comparison hook would have said of deployments that are past.",
        epilog=BACKTEST_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--metrics", type=Path, required=True, metavar="FILE.csv", help="what was measured")
    parser.add_argument(
        "--settings", type=Path, required=True, metavar="FILE", help="hookDetails, as JSON or YAML"
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="the organisation's HOOK_POLICY, as JSON or YAML"
    )
    parser.add_argument(
        "--judge",
        choices=["sequential", "kayenta"],
        help="judge by this one as well, and compare; the exit code is the settings' own judge's",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every verdict and finding as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the charts of each run")
    options = parser.parse_args(given)

    from rehearsal.backtest import run

    return run(
        options.metrics,
        options.settings,
        policy=options.policy,
        judge=options.judge,
        json_file=options.json,
        html_file=options.html,
        stdout=sys.stdout,
        stderr=sys.stderr,
    )


def _replay(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse replay",
        description="Compute the verdicts of decision records again, from the inputs that the records hold.",
        epilog="Takes records as S3 keeps them, log lines that hold one, or the --json file of a rehearsal. "
        "Exit code 0: every verdict came out the same, byte for byte; 1: one did not; 2: unreadable.",
    )
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD")
    options = parser.parse_args(given)

    from rehearsal.replay import replay

    same = [replay(file, sys.stdout) for file in options.records]
    return AS_EXPECTED if all(same) else NOT_AS_EXPECTED


def _serve(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse serve",
        description="Serve the rehearsal's AWS over HTTP and run a scenario on the real clock. You can play "
        "the approver with the AWS CLI: set AWS_ENDPOINT_URL to the address printed.",
    )
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="what to deploy; default: nothing, an idle account"
    )
    parser.add_argument(
        "--event",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a sample event whose deployment the account is to know; may be repeated",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; containers need 0.0.0.0")
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    options = parser.parse_args(given)

    from rehearsal.serving import serve

    return serve(options.scenario, options.event, options.host, options.port)


CONSOLE_DESCRIPTION = """\
Open the approver's console on this machine, with deployments under way that wait for a decision. What you
decide in the browser moves them; after a while there are new ones. Ctrl-C ends it."""

CONSOLE_EPILOG = """\
The console signs people in at a provider that asks who you want to be. To try it with a provider of your own,
register http://127.0.0.1:PORT/signed-in there as the redirect URI of a public client, and name it:

  rehearse console --issuer https://login.example.com --client-id approvals --groups-claim roles

Whoever is in the group release-managers may decide, and all others may look."""


def _console(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rehearse console",
        description=CONSOLE_DESCRIPTION,
        epilog=CONSOLE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8765, help="of the console; 0: one that is free")
    parser.add_argument("--provider-port", type=int, default=8766, metavar="PORT", help="of the provider")
    parser.add_argument("--issuer", default="", metavar="URL", help="an OpenID provider of your own")
    parser.add_argument("--client-id", default="approvals", metavar="ID", help="the console's there")
    parser.add_argument("--groups-claim", default="groups", metavar="CLAIM", help="of its ID tokens")
    parser.add_argument(
        "--deployments", type=int, default=0, metavar="N", help="further ones, to see a long list"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random")
    parser.add_argument(
        "--lambda",
        dest="runtime",
        choices=["in-process", "rie"],
        default="in-process",
        help="where hooks and console run: here, or under Lambda's Runtime Interface Emulator",
    )
    options = parser.parse_args(given)
    if not 0 <= options.deployments <= 1000:
        parser.error("--deployments takes a number from 0 to 1000")

    from rehearsal.console.demo import demonstrate

    return demonstrate(
        port=options.port,
        provider_port=options.provider_port,
        issuer=options.issuer,
        client_id=options.client_id,
        groups_claim=options.groups_claim,
        further=options.deployments,
        seed=options.seed,
        runtime=options.runtime,
    )


def _schema(given: Sequence[str]) -> int:
    from rehearsal.schemas import FOLDER, write

    parser = argparse.ArgumentParser(
        prog="rehearse schema",
        description="Write the JSON Schemas of the hooks' settings, for editors and validators.",
    )
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="FOLDER", help="default: docs/schema")
    for file in write(parser.parse_args(given).to):
        print(file)
    return AS_EXPECTED
