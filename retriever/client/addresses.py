"""What may be said of an address: nothing that could be secret."""

from urllib.parse import urlsplit

__all__ = ["host_of", "place_of"]


def place_of(url: str) -> str:
    """Scheme, host and path of an address: nothing of it that could be secret.

    Examples
    --------
    >>> place_of("https://me:secret@example.org:8080/a?token=1")
    'https://example.org:8080/a'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "what is given as url"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def host_of(url: str) -> str:
    """Host of an address, with its port where it has one."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'nowhere'}-{parts.port}" if parts.port else parts.hostname or "nowhere"
