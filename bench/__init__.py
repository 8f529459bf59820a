"""Measurements behind the decisions in ``docs/decisions``; nothing else imports them."""

from golden.base import cli

cli.guard()
