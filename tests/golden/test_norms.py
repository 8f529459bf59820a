"""Re-estimated batch-norm statistics are the exact ones of the network as it will be."""

import pytest
import torch

from golden.model.config import PaperConfig
from golden.model.network import Network
from golden.model.norms import reestimate


@pytest.mark.parametrize("residual", ["clampfuse", "none", "plain"])
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_exact_over_all_batches(residual, ragged, monkeypatch):
    monkeypatch.setattr(torch, "rand_like", lambda p, dtype=None: torch.full_like(p, 0.4))
    torch.manual_seed(0)
    net = Network(PaperConfig(n_classes=2, n_blocks=3, d_model=5, d_state=4, dt_max=0.5,
                              residual=residual, act="identity")).double()
    batches = [(torch.rand(n, 56).double(), torch.randint(5, 57, (n,)) if ragged else None)
               for n in (3, 8)]
    reestimate(net, iter(batches))
    assert not net.training
    fused = [block for block in net.blocks if hasattr(block, "fuse")]
    assert len(fused) == len(net.norms()) == 3
    for block in fused:
        products, sums = [], []
        hooks = [block.mixer.register_forward_hook(lambda _, args, z: products.append((z, args)))]
        if residual == "plain":
            hooks.append(block.sum.register_forward_pre_hook(lambda _, args: sums.append(args[0])))
        for values, lengths in batches:
            net(values, lengths)
        for hook in hooks:
            hook.remove()
        columns = []
        for (z, (_, now)), x in zip(products, sums or [0, 0], strict=True):
            v = z + x
            columns.append(v if now.valid is None else v[:, now.valid.bool()])
        v = torch.cat(columns, 1)
        torch.testing.assert_close(block.fuse.mean, v.mean(1), rtol=0, atol=1e-12)
        torch.testing.assert_close(block.fuse.var, v.var(1, correction=0), rtol=0, atol=1e-12)
        assert (block.fuse.var > 0).any()


def test_no_batches():
    net = Network(PaperConfig(n_classes=2, d_model=2, d_state=2))
    with pytest.raises(ValueError, match="at least one batch"):
        reestimate(net, [])
