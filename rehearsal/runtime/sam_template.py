"""A built template as `sam local` can read it: with the layers of its functions named outright.

`sam local` leaves a layer out that a function has under a condition (``!If``), and says so only in its debug
log: https://github.com/aws/aws-sam-cli/issues/7509. The function then fails for want of its libraries. In the
template that this makes, conditions on layers are decided for this machine, and paths are absolute, so that
it may stand anywhere:

    python -m rehearsal.runtime.sam_template > .aws-sam/local.json
    sam local invoke ImageTrustFunction --template .aws-sam/local.json ...
"""

# ruff: noqa: T201  # a command line prints

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rehearsal.document import DocumentError
from rehearsal.lambda_functions import FUNCTION_TYPES, LAYER_TYPES
from rehearsal.runtime import architecture
from rehearsal.template import Template

_PATHS = {
    **dict.fromkeys(FUNCTION_TYPES, "CodeUri"),
    **dict.fromkeys(LAYER_TYPES, "ContentUri"),
    "AWS::CloudFormation::Stack": "TemplateURL",
}
BUILT = Path(".aws-sam", "build", "template.yaml")


def local_template(built: Path, layers: Mapping[str, Sequence[str]]) -> str:
    """Return the template at *built* as JSON.

    Parameters
    ----------
    built
        What ``sam build`` wrote beside the artifacts.
    layers
        The logical ids of each function's layers.

    Raises
    ------
    DocumentError
        When it is no template.

    """
    document: dict[str, Any] = Template.read(built).document.data
    resources = {
        name: _located(resource, built.resolve().parent) for name, resource in document["Resources"].items()
    }
    for function, names in layers.items():
        if names:
            resources[function]["Properties"]["Layers"] = [{"Ref": name} for name in names]
    return json.dumps({**document, "Resources": resources}, default=str)


def _located(resource: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    properties = dict(resource.get("Properties") or {})
    key = _PATHS.get(resource["Type"], "")
    if isinstance(path := properties.get(key), str) and "://" not in path:
        properties[key] = str(folder / path)
    return {**resource, "Properties": properties}


def main() -> int:
    """Print the template that `sam build` made here, for this machine."""
    parser = argparse.ArgumentParser(
        prog="python -m rehearsal.runtime.sam_template",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("built", nargs="?", type=Path, default=BUILT, help="default: %(default)s")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of a template's parameter, such as ImageTrustKeyless=true; may be repeated",
    )
    arguments = parser.parse_args()
    parameters = {
        "Architecture": architecture(),
        **dict(pair.partition("=")[::2] for pair in arguments.parameter),
    }
    try:
        functions = Template.read(arguments.built, parameters=parameters).functions()
        print(local_template(arguments.built, {one.logical_id: one.layers for one in functions}))
    except DocumentError as error:
        print(f"{parser.prog}: {error}; `sam build` makes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
