"""The one image of Unicorn Watch: the command says which of its services a container is.

::

    docker run IMAGE ui | catalog | streaming    a web server (web.py)
    docker run IMAGE notifications               the worker (notifications.py)

``SERVICE`` in the environment says it where there is no command.
"""

import os
import sys

WEB = ("ui", "catalog", "streaming")
WORKER = "notifications"


def main(arguments: list[str]) -> int:
    """Run a service until it is told to end; returns the exit status."""
    service = arguments[0] if arguments else os.environ.get("SERVICE", "")
    if len(arguments) > 1 or service not in {*WEB, WORKER}:
        given = " ".join(arguments) or service
        sys.exit(f"the service is {given!r}; expected {', '.join(WEB)} or {WORKER}")
    # Each loads only what it runs.
    if service == WORKER:
        import notifications  # noqa: PLC0415  # as said

        return notifications.main()
    import web  # noqa: PLC0415  # as said

    return web.main(service)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
