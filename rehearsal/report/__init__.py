"""What a rehearsal shows: a timeline in the terminal, one HTML page, a picture for the README.

All of it is made of :class:`rehearsal.outcome.Outcome` and nothing else.
"""

from rehearsal.report.page import write_page
from rehearsal.report.terminal_picture import write_terminal_picture
from rehearsal.report.timeline import Timeline

__all__ = ["Timeline", "write_page", "write_terminal_picture"]
