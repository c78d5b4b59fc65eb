"""Logins for archives, from the environment, ``~/.netrc`` or the keyring, in that order. They are never stored."""

import netrc
import os
from dataclasses import dataclass, field
from pathlib import Path

from retriever.errors import ConfigError

__all__ = ["Login", "login_for", "token_for"]


@dataclass(frozen=True)
class Login:
    """A user name and password; the password is not in the object's repr."""

    user: str
    password: str = field(repr=False)


def login_for(service: str, host: str) -> Login | None:
    """The login for a service.

    Parameters
    ----------
    service
        As in the names of the environment's variables: RETRIEVER_<SERVICE>_USER and RETRIEVER_<SERVICE>_PASSWORD.
    host
        As in ``~/.netrc`` and in the keyring, where it is the service's name.

    Raises
    ------
    ConfigError
        When ``~/.netrc`` cannot be read.
    """
    user, password = (os.environ.get(f"RETRIEVER_{service.upper()}_{word}", "") for word in ("USER", "PASSWORD"))
    if user and password:
        return Login(user, password)
    return _from_netrc(host) or _from_keyring(host)


def token_for(service: str) -> str:
    """A token instead of a login, from RETRIEVER_<SERVICE>_TOKEN; "" if there is none."""
    return os.environ.get(f"RETRIEVER_{service.upper()}_TOKEN", "")


def _from_netrc(host: str) -> Login | None:
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if not path.exists():
        return None
    try:
        entry = netrc.netrc(str(path)).authenticators(host)
    except (OSError, netrc.NetrcParseError) as error:
        # the parser's own message may quote the line that it failed at
        where = f" (line {error.lineno})" if isinstance(error, netrc.NetrcParseError) else ""
        raise ConfigError(
            f"{path} cannot be read{where}; mend it or set RETRIEVER_<SERVICE>_USER and _PASSWORD"
        ) from None
    return Login(entry[0], entry[2]) if entry and entry[0] and entry[2] else None


def _from_keyring(host: str) -> Login | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        credential = keyring.get_credential(host, None)
    except (KeyringError, RuntimeError):
        return None
    return Login(credential.username, credential.password) if credential else None
