"""Exit codes, which pipelines read."""

import enum


class Code(enum.IntEnum):
    """How a command ended."""

    DONE = 0
    NOT_DONE = 1
    TROUBLE = 2
    REJECTED = 3
    EXPIRED = 4
    ENDED = 5
    INTERRUPTED = 130


BY_OUTCOME = {
    "approved": Code.DONE,
    "rejected": Code.REJECTED,
    "expired": Code.EXPIRED,
    "undecided": Code.ENDED,
}
"""Of a request that is over."""

EXPLAINED = """\
exit codes:
  0    done; of `watch REQUEST`: approved
  1    not done: it would not count, it is another request by now, you said no
  2    can't be said: no permission, AWS out of reach, no such name, or several
  3    rejected
  4    expired
  5    the deployment ended before anybody decided
  130  interrupted"""
