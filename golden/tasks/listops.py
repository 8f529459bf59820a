"""ListOps."""


class ListOps:
    """Placeholder."""

    name, n_classes, length, vocab, sample_format = "listops", 10, 2000, 16, None
