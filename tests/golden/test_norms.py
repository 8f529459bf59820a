"""Re-estimated batch-norm statistics are the exact ones of the network as it will be."""

import pytest
import torch

from golden.config import NetworkConfig
from golden.network import Network
from golden.norms import reestimate


@pytest.mark.parametrize("residual", ["clampfuse", "none", "plain"])
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_exact_over_all_batches(residual, ragged, monkeypatch):
    monkeypatch.setattr(torch, "rand_like", lambda p, dtype=None: torch.full_like(p, 0.4))
    torch.manual_seed(0)
    net = Network(NetworkConfig(n_classes=2, n_blocks=3, d_model=5, d_state=4, dt_max=0.5,
                                residual=residual, act="identity")).double()
    batches = [(torch.rand(n, 56).double(), torch.randint(5, 57, (n,)) if ragged else None)
               for n in (3, 8)]
    reestimate(net, iter(batches))
    assert not net.training
    for block in net.blocks:
        seen = []
        hook = block.fuse.register_forward_pre_hook(lambda fuse, args: seen.append(args))
        for values, lengths in batches:
            net(values, lengths)
        hook.remove()
        columns = []
        for z, bias, x, valid, _ in seen:
            v = z + bias[:, None] + (x if residual == "plain" else 0)
            columns.append(v if valid is None else v[:, valid.bool()])
        v = torch.cat(columns, 1)
        torch.testing.assert_close(block.fuse.mean, v.mean(1), rtol=0, atol=1e-12)
        torch.testing.assert_close(block.fuse.var, v.var(1, correction=0), rtol=0, atol=1e-12)
        assert (block.fuse.var > 0).any()


def test_no_batches():
    net = Network(NetworkConfig(n_classes=2, d_model=2, d_state=2))
    with pytest.raises(ValueError, match="at least one batch"):
        reestimate(net, [])
