"""Times as they stand in objects and documents, to and from UTC values; pure."""

from datetime import UTC, datetime, timedelta


def parsed(text: str) -> datetime:
    """A time such as 2030-01-31T18:00:00Z; one without a time zone is UTC.

    Raises:
      ValueError: when it is not one.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def parsed_or_none(text: object) -> datetime | None:
    """The same for what may be missing or damaged, or no text at all."""
    try:
        return parsed(text) if isinstance(text, str) else None
    except ValueError:
        return None


def written(time: datetime) -> str:
    """A time as Kubernetes writes it, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(time: datetime | None, now: datetime) -> float:
    """Seconds from then to now; 0 when nobody knows when."""
    return 0.0 if time is None else (now - time) / timedelta(seconds=1)


def duration(seconds: float) -> str:
    """Seconds in words, such as 45 s, 12 min or 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
