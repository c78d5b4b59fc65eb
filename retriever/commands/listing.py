"""All commands, by their names."""

from retriever.commands.browsing import BROWSING
from retriever.commands.command import Command
from retriever.commands.completing import COMPLETING
from retriever.commands.composing import COMPOSING
from retriever.commands.exporting import EXPORTING
from retriever.commands.looking import LOOKING
from retriever.commands.maintenance import MAINTENANCE
from retriever.commands.running import RUNNING
from retriever.commands.starting import STARTING

__all__ = ["COMMANDS"]

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (*STARTING, *RUNNING, *COMPOSING, *LOOKING, *EXPORTING, *BROWSING, *MAINTENANCE, *COMPLETING)
}
"""Commands by their names, in the order of ``retriever --help``."""
