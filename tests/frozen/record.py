"""What must not change: ``python -m tests.frozen.record`` compares, ``--write`` made it once.

``record.json`` was written by the code of the commit that added it, from the inputs beside it. It
says what that code computed: integers as digests or as they are, real numbers to 1e-10. It is never
written again to make a test pass. Where the project's API has moved, ``artifacts`` and ``networks``
beside this change; where a value was wrong, the entry is taken out and the reason written down.
"""

import argparse
import copy
import hashlib
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from golden.base.cli import UserError
from tests.frozen import artifacts, networks
from tests.frozen.compare import (differences, digest, digests, numbers, sizes, sums, text_digest)

RECORD = Path(__file__).resolve().parent / "record.json"
FIXTURES = "SPIKESSM_FIXTURES"      # folder with outputs of the released code
LENGTHS = (48, 1, 17, 33, 40)       # of an artifact's sequences; a head takes the first four
RATES = ((0.25, 0.4), (0.1, 0.3), (0.2, 0.15))      # spikes in front of and behind an SSM, by block
VERILOG = ("clampfuse-half_even-systematic-tokens-narrow-N1H4n8-stress",    # small and unlike
           "plain-sound-coarse-narrow-N1H4n8-head")


def generator(name: str) -> np.random.Generator:
    """Of an entry's sequences."""
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()[:8]))


def attempt(function, *args):
    """The value, or what a refusal says."""
    try:
        return function(*args)
    except UserError as error:
        return {"refused": f"{type(error).__name__}: {error}"}


def refused(value) -> bool:
    return isinstance(value, dict) and "refused" in value


def artifact_text(art) -> dict:
    """An artifact itself: options, formats, and a digest of each tensor.

    Of a kind that had no integers when the record was made: its operations.
    """
    if artifacts.is_newer(art):
        return {"operations": [str(op) for ops in art.blocks for op in ops]}
    return {"scalars": artifacts.scalars(art), "formats": artifacts.formats(art),
            "tensors": digests(artifacts.tensors(art))}


def hardware(art, lengths: list[int], choices: list[int]) -> dict:
    """Memory image and predicted cycles for some numbers of lanes."""
    found = {}
    for lanes in choices:
        writes, predicted = artifacts.hardware(art, lanes, lengths)
        found[f"{lanes} lanes"] = {"image": digest(np.array(writes, np.int64)),
                                   "words": len(writes)} | predicted
    return found


def some_lanes(art) -> list[int]:
    """The least, and the most up to 8."""
    allowed = [p for p in artifacts.lanes(art) if p <= 8]
    return sorted({allowed[0], allowed[-1]})


def model(art, values: np.ndarray, lengths: np.ndarray) -> dict:
    """The quantisation-aware model: recurrence exactly, convolution and its gradient to 1e-10.

    An A_bar of 0 has no logarithm: where there is one, gradients are not finite.
    """
    net, steps = artifacts.model(art), torch.from_numpy(lengths)
    v = artifacts.values_of(art, torch.from_numpy(values))
    exact = artifacts.recurrence(net, art, v, steps) * 2.0 ** artifacts.logit_bits(art)
    exact = exact if artifacts.has_head(art) else exact * steps[:, None]
    torch.manual_seed(1)
    logits = net.train()(v, steps)
    logits.square().sum().backward()
    return {"recurrence": digest(torch.round(exact).to(torch.int64).numpy()),
            "convolution": numbers(logits), "gradients": sizes(p.grad for p in net.parameters())}


def artifact_entry(name: str) -> dict:
    """A frozen artifact on its way through reference, fast network, hardware and model."""
    art = artifacts.load_artifact(name)
    low, high, longest = artifacts.limits(art)
    count = 4 if artifacts.has_head(art) else 5
    lengths = np.array(LENGTHS[:count])
    values = generator(name).integers(low, high + 1, (count, LENGTHS[0]))
    values[np.arange(LENGTHS[0]) >= lengths[:, None]] = 0
    entry = {"itself": text_digest(json.dumps(artifact_text(art), sort_keys=True))}
    seen = artifacts.trace(art, values[0])
    entry["reference"] = {key: digest(raw) if np.ndim(raw) > 1 else numbers(raw)
                          for key, raw in seen.items()}
    batch = artifacts.fast(art, values, lengths)
    entry["fast"] = {key: digest(raw) if key in ("logits", "spikes") else numbers(raw)
                     for key, raw in batch.items()}
    if artifacts.has_head(art):
        entry["head"] = {key: numbers(raw) for key, raw in
                         artifacts.answers(art, batch["logits"], lengths).items()}
    if artifacts.is_spiking(art):
        traces = artifacts.golden_vectors(art, values, lengths)
        entry["vectors"] = {key: digest(np.concatenate([np.ravel(t[key]) for t in traces]))
                            for key in ("s_in", "s_out", "signature", "logits", "saturations")}
        choices = attempt(some_lanes, art)
        entry["hardware"] = choices if refused(choices) else hardware(art, lengths.tolist(),
                                                                      choices)
    if name in VERILOG:
        entry["rtlil"] = text_digest(artifacts.rtlil(art, 1))
    if longest <= 1000:
        entry["proven"] = artifacts.proven(art)
    return entry | {"model": model(art, values, lengths)}


def trained(net, values, lengths) -> dict:
    """One backward pass in training mode: loss, gradients and the norms' statistics behind it."""
    net = copy.deepcopy(net).train()
    torch.manual_seed(2)
    logits = net(values, lengths)
    labels = torch.arange(len(logits)) % logits.shape[1]
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    return {"loss": float(loss.detach()), "gradients": sizes(p.grad for p in net.parameters()),
            "statistics": [sums(t) for t in networks.statistics(net)]}


def network_entry(name: str) -> dict:
    """A frozen checkpoint in float64: evaluation, training, start, energy and export."""
    found = networks.load_network(name)
    net, task = found.network, found.task
    whole, ragged = (networks.batch(task, generator(f"{name} {steps}"), 4, steps)
                     for steps in (130, 75))
    lengths, record, entry = torch.tensor([75, 1, 40, 64]), [], {}
    with torch.no_grad():
        torch.manual_seed(0)
        entry["logits"] = numbers(net(whole))
        torch.manual_seed(1)
        entry["logits, lengths"] = numbers(net(ragged, lengths, record=record))
        entry["blocks"] = [{key: sums(t) for key, t in block.items()} for block in record]
        torch.manual_seed(3)
        started = copy.deepcopy(net)
        started.calibrate(ragged, lengths)
        entry["calibrated"] = numbers(started(ragged, lengths))
        torch.manual_seed(4)
        entry["fresh"] = sizes(networks.fresh(net).parameters())
    entry["parameters"] = net.parameter_count()
    entry["training"] = trained(net, whole, None)
    entry["training, lengths"] = trained(net, ragged, lengths)
    entry["energy"] = networks.energy(net, list(RATES[:networks.blocks(net)]))
    art = attempt(networks.exported, copy.deepcopy(found), ragged, lengths)
    return entry | {"export": art if refused(art) else attempt(artifact_text, art)}


def shipped_entry(name: str) -> dict:
    """A shipped network: its tensors, float64 logits and integers, without any data set."""
    found = networks.load_shipped(name)
    entry = {"state": networks.state_digest(found.network),
             "parameters": found.network.parameter_count()}
    net = copy.deepcopy(found.network).double()
    with torch.no_grad():
        torch.manual_seed(0)
        entry["logits"] = numbers(net(networks.batch(found.task, generator(name), 2, 64)))
    whole = found.task.name == "digits"     # the data comes with scikit-learn
    art = (networks.whole_export if whole else networks.converted)(found, name)
    low, high, _ = artifacts.limits(art)
    values, lengths = generator(name).integers(low, high + 1, (2, 64)), np.array([64, 41])
    entry |= artifact_text(art)
    entry["fast"] = digests(artifacts.fast(art, values, lengths))
    return entry | {"hardware": hardware(art, lengths.tolist(), [1, 8])}


def fixtures() -> Path | None:
    """The folder with the released code's outputs, if there is one."""
    folder = Path(os.environ.get(FIXTURES) or RECORD.parents[3] / "shared" / "fixtures")
    return folder if folder.is_dir() else None


def release_entry(name: str) -> dict:
    """A network of the released code: imported, and compared with that code's outputs."""
    torch.manual_seed(0)
    net, report = networks.imported(fixtures() / f"{name}.npz")
    with torch.no_grad():
        torch.manual_seed(0)
        logits = numbers(net(torch.linspace(0, 1, 192, dtype=torch.float64).view(2, 96)))
    return {"parameters": net.parameter_count(), "tensors": sizes(net.parameters()),
            "logits": logits} | report


KINDS = {"artifact": (artifacts.artifact_names, artifact_entry),
         "network": (networks.network_names, network_entry),
         "shipped": (networks.shipped_names, shipped_entry),
         "release": (lambda: ["released_causal_residual", "released_psmnist_style"],
                     release_entry)}


def compute(kind: str, name: str) -> dict:
    """An entry, as JSON gives it back."""
    torch.set_num_threads(1)
    return json.loads(json.dumps(shortened(KINDS[kind][1](name))))


def shortened(value):
    """Real numbers to 14 digits, those that are not finite as text."""
    if isinstance(value, dict):
        return {name: shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.14g}") if math.isfinite(value) else str(value)
    return value


def written(record: dict) -> str:
    """Readable JSON: a line for each value of an entry."""
    lines = []
    for key, entry in record.items():
        inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}"
                           for name, value in entry.items())
        lines.append(f"{json.dumps(key)}: {{\n{inner}}}")
    return "{\n" + ",\n".join(lines) + "}\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.frozen.record",
                                     description="Compare with the record, or write it.")
    parser.add_argument("--write", action="store_true", help="overwrite it")
    parser.add_argument("--only", default="", help="entries whose name has this in it")
    args = parser.parse_args()
    if args.write and (args.only or fixtures() is None):
        parser.error(f"a record has every entry: leave --only out, and set ${FIXTURES}")
    record = {} if args.write else json.loads(RECORD.read_text())
    wrong = []
    for kind, (names, _) in KINDS.items():
        for key in (f"{kind}/{name}" for name in names()):
            if args.only not in key or kind == "release" and fixtures() is None:
                continue
            got = compute(*key.split("/"))
            if args.write:
                record[key] = got
            else:
                wrong += differences(record.get(key, {}), got, key)
    if args.write:
        RECORD.write_text(written(record))
        print(f"{RECORD} {len(record)} entries")
        return
    print("\n".join([*wrong[:20], f"{len(wrong)} differences"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
