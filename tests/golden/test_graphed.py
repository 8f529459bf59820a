"""A step from a CUDA graph trains as one without."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.training.run import Run
from golden.tasks import make_task
from golden.training.recipes import recipe_for

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_graph_equals_eager():
    """In the mean field, where nothing is drawn: the same losses and the same weights after."""
    task = make_task("digits")
    recipe = recipe_for(task)
    recipe = replace(recipe, batch=16, warmup=1, network=replace(recipe.network, sampling="mean"))
    split = task.load("train").take(np.arange(160))
    runs = [Run(task, recipe, split, None, torch.device("cuda")) for _ in range(2)]
    for run in runs:
        run.calibrate()
        run.net.train()
    for k in range(6):
        batch = runs[0].stored.batch(16 * k, 16)
        eager, graph = runs[0].step(*batch), runs[1].fast_step(*batch).clone()
        assert torch.equal(eager, graph), k
        for run in runs:
            run.schedule.step()
    for a, b in zip(runs[0].net.state_dict().values(), runs[1].net.state_dict().values()):
        assert torch.equal(a, b)
