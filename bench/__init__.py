"""Measurements behind the decisions in ``docs/decisions``; nothing else imports them."""
