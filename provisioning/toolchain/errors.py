"""The one fault of the toolchain: a tool that is missing and cannot be had."""

from __future__ import annotations


class ToolchainError(Exception):
    """A tool or the environment is missing; the text says what happened and what to do next, in one line."""

    user_message = True
