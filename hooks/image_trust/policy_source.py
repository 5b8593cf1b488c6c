"""Where policy documents and trusted roots lie.

::

    ssm:/hooks/image-policy           a parameter; ssm:/hooks/image-policy:7 is one version of it, or a label
    s3://bucket/key?versionId=...     an object; without versionId the latest
    package:production.yaml           a file in hooks/image_trust/policies of the function's artifact
    policy.yaml                       a path; for the command line only

What is read is not trusted for where it lies: the SHA-256 that the function's environment, or the policy,
pins is held against it by whoever asked.
"""

import re
from importlib import resources
from pathlib import Path

from botocore.exceptions import IncompleteReadError

from shared.clients import client
from shared.errors import Misconfigured, Transient, shown, translated

MAX_SOURCE_BYTES = 1024 * 1024
"""A trusted root of Sigstore's has about 10 KiB, and a policy has a limit of its own."""

# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html; after the
# colon a version or a label: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-labels.html
_PARAMETER = re.compile(r"ssm:(?P<name>/[A-Za-z0-9_./-]{1,1010})(?P<version>:[A-Za-z0-9_.-]{1,100})?")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; what a key may be is wider,
# but a question mark in it would be read as the beginning of a version.
_OBJECT = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^?\s]{1,1024})"
    r"(?:\?versionId=(?P<version>[A-Za-z0-9._-]{1,1024}))?"
)
# No slash, and nothing that begins with a dot: never another folder.
_FILE = re.compile(r"package:(?P<file>[A-Za-z0-9_-][A-Za-z0-9._-]{0,127})")


def read_source(source: str, *, files: bool = False) -> bytes:
    """Read what lies at *source*.

    Parameters
    ----------
    files
        Whether it may be a path, as on the command line; in Lambda it never is.

    Raises
    ------
    Transient
    Misconfigured
        When it is no source, is not there, may not be read, or has more than ``MAX_SOURCE_BYTES``.
    """
    if found := _PARAMETER.fullmatch(source):
        return _parameter(found["name"] + (found["version"] or ""))
    if found := _OBJECT.fullmatch(source):
        return _object(source, found["bucket"], found["key"], found["version"])
    if found := _FILE.fullmatch(source):
        return _file_of_package(found["file"])
    if files and not source.startswith(("ssm:", "s3:", "package:")):
        return _file(Path(source))
    raise Misconfigured(
        f"{shown(source)} is no source: expected ssm:/name, s3://bucket/key?versionId=... or package:file"
        + (", or a path" if files else "")
    )


def _parameter(name: str) -> bytes:
    with translated("ssm:GetParameter", name):
        # Decrypted where it is a SecureString; of another one it makes no difference.
        found = client("ssm").get_parameter(Name=name, WithDecryption=True)
    return found["Parameter"].get("Value", "").encode()


def _object(source: str, bucket: str, key: str, version: str | None) -> bytes:
    with translated("s3:GetObjectVersion" if version else "s3:GetObject", source):
        s3 = client("s3")
        found = (
            s3.get_object(Bucket=bucket, Key=key, VersionId=version)
            if version
            else s3.get_object(Bucket=bucket, Key=key)
        )
        try:
            content: bytes = found["Body"].read(MAX_SOURCE_BYTES + 1)
        except IncompleteReadError as error:
            raise Transient(f"{source}: the connection ended before the object did") from error
        finally:
            found["Body"].close()
    return _bounded(content, source)


def _file_of_package(name: str) -> bytes:
    file = resources.files("hooks.image_trust") / "policies" / name
    try:
        with file.open("rb") as opened:
            return _bounded(opened.read(MAX_SOURCE_BYTES + 1), f"package:{name}")
    except OSError as error:
        raise Misconfigured(
            f"package:{name} is no file in hooks/image_trust/policies of the function's artifact"
        ) from error


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return _bounded(opened.read(MAX_SOURCE_BYTES + 1), str(path))
    except (OSError, ValueError) as error:  # a name with a null character is a ValueError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Misconfigured(f"{shown(str(path))} can't be read: {reason}") from error


def _bounded(content: bytes, source: str) -> bytes:
    if len(content) > MAX_SOURCE_BYTES:
        raise Misconfigured(f"{source} has more than {MAX_SOURCE_BYTES} bytes")
    return content
