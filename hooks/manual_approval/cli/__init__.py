"""The command line: ``approvals``.

::

    approvals list                   what waits for a decision
    approvals show REQUEST           all there is to know about a request
    approvals approve REQUEST        and reject; after showing it, and asking
    approvals extend REQUEST         put its expiry off
    approvals stop REQUEST           stop the deployment and roll it back
    approvals watch [REQUEST]        what changes; or wait until a request is decided
    approvals history                what was decided

Everybody answers with their own AWS credentials. What counts is decided by the hook, which sees who wrote;
this command knows the same rules and keeps people from writing what would come to nothing.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

try:
    import rich  # noqa: F401  # everything below is drawn with it
except ImportError:
    sys.stderr.write("approvals: needs rich: pip install 'ecs-lifecycle-hooks[command-line]'\n")
    raise SystemExit(2) from None

from hooks.manual_approval.cli import drawing
from hooks.manual_approval.cli.account import choose_credentials, complaint, read_account
from hooks.manual_approval.cli.arguments import parser
from hooks.manual_approval.cli.codes import Code
from hooks.manual_approval.cli.naming import Unnamed
from hooks.manual_approval.cli.terminal import complained, printed
from hooks.manual_approval.proceeding import NotAsked, NotPossible
from shared import clock
from shared.errors import HookError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return Code.INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough, as with `| head`. Python would complain once more while exiting.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Code.TROUBLE
    except Exception:  # noqa: BLE001  # a defect must not end in a code that means something
        traceback.print_exc()
        return Code.TROUBLE


def _run(options: argparse.Namespace) -> Code:
    try:
        region = choose_credentials(options.profile, options.region)
        account = read_account(
            options.prefix, region, hook_role=options.hook_role, pause_role=options.pause_role
        )
        code: Code = options.run(options, account)
        sys.stdout.flush()
    except NotPossible as error:
        complained(str(error))
        return Code.NOT_DONE
    except Unnamed as error:
        complained(str(error))
        if error.candidates:
            printed(drawing.requests(error.candidates, clock.now()), to_err=True)
        return Code.TROUBLE
    except NotAsked as error:
        complained(f"{error}; what is over is in `approvals history`")
        return Code.TROUBLE
    except HookError as error:
        complained(complaint(error))
        return Code.TROUBLE
    return code
