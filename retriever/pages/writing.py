"""Pages written from templates: each is one HTML file that needs nothing else."""

import os
from collections.abc import Mapping
from pathlib import Path

from retriever.errors import StoreError
from retriever.pages.words import number, shorter

__all__ = ["write_page"]


def write_page(template: str, content: Mapping[str, object], target: Path) -> Path:
    """Write a page, whole or not at all.

    Parameters
    ----------
    template
        Name of the template in ``templates/``.
    content
        What the template shows; all text is escaped.
    target
        The file.

    Raises
    ------
    StoreError
        When the file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("retriever.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"number": number, "shorter": shorter}
    page = environment.get_template(template).render(**content)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {target}: {error.strerror or error}; choose another file") from error
    return target
