"""Past decisions, a day (UTC) at a time, from what the sweeper keeps of them."""

from datetime import date, datetime, timedelta

from hooks.manual_approval.archive import Entry, archive_path, read_entry
from hooks.manual_approval.console.listing import Home, Listing
from hooks.manual_approval.console.overview import MayView
from hooks.manual_approval.console.views import History

ONE_DAY = timedelta(days=1)

# The stack's default.
RETENTION_DAYS = 30


def read_history(
    prefix: str, day: date, may_view: MayView, now: datetime, *, retention_days: int = RETENTION_DAYS
) -> History:
    """List what was decided on a day about services that somebody may see.

    Parameters
    ----------
    retention_days
        For how long the sweeper keeps entries; no day before that is offered.

    Raises
    ------
    HookError
        When even its own identity can't be read; what else fails is in the list's ``problems``.
    """
    home = Home.here()
    listing = Listing(archive_path(prefix, day.isoformat()))
    entries: list[Entry] = []
    unreadable = 0
    for listed in listing:
        named = home.request(listed.steps)
        if named is None or not may_view(named[0].cluster, named[0].service):
            continue
        try:
            entry = read_entry(listed.text)
        except ValueError:
            unreadable += 1
            continue
        # An entry is what its name says, for by that it was let be seen.
        if (entry.deployment, entry.part) == named:
            entries.append(entry)
        else:
            unreadable += 1
    problems = [f"Not all of that day could be listed: {listing.problem}"] if listing.problem else []
    if unreadable:
        problems.append(f"Entries that could not be read: {unreadable}.")
    today = now.date()
    oldest = today - timedelta(days=retention_days)
    return History(
        day=day,
        entries=tuple(sorted(entries, key=lambda entry: entry.ended_at, reverse=True)),
        # The calendar's first day has none before it, and its last none after it.
        earlier=min(day - ONE_DAY, today) if day > oldest else None,
        later=max(day + ONE_DAY, oldest) if day < today else None,
        left_out=listing.left_out,
        problems=tuple(problems),
    )
