"""What a network with two inputs says in the end: its head on the hardware's sums."""

import numpy as np

from quant.integer import head
from quant.integer.artifact import Artifact
from quant.integer.reference import Trace
from sim.compare import Difference, Result, Tally


def compare(tally: Tally, art: Artifact, indices: np.ndarray, lengths: np.ndarray,
            traces: list[Trace], results: list[Result | None]) -> None:
    """Add the classes of some examples to ``tally``, by the hardware's features, and compare them.

    indices : (2 B,) numbers of the sequences, 2 k and 2 k + 1 for example k; lengths : their steps;
    traces and results : of each sequence. An example of which a result is missing has class -1; a
    network without a head has nothing to compare.
    """
    if art.head is None:
        return
    expected = head.answers(art, np.array([trace.logits for trace in traces]), lengths)
    empty = np.zeros(art.outputs, np.int64)
    found = head.answers(art, np.array([empty if result is None else result.logits
                                        for result in results]), lengths)
    for k, number in enumerate(indices[::2]):
        if None in results[2 * k:2 * k + 2]:
            tally.classes.append(-1)
            continue
        tally.classes.append(int(found.labels[k]))
        for kind, want, got in (("class", expected.labels, found.labels),
                                ("saturations of the head", expected.saturations,
                                 found.saturations), ("logits", expected.logits, found.logits)):
            if (want[k] != got[k]).any():
                tally.note(1, Difference(int(number) // 2, kind, expected=want[k].tolist(),
                                         got=got[k].tolist()))
