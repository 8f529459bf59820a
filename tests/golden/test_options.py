"""Values of command line options: what is taken, and one line for what is not."""

import argparse

import pytest

from golden.base import options
from golden.base.cli import UserError


@pytest.mark.parametrize("kind, good, bad", [
    (options.positive, {"1": 1, "20": 20}, ("0", "-1", "1.5", "x", "")),
    (options.natural, {"0": 0, "7": 7}, ("-1", "1e3", "")),
    (options.numbers, {"17,4242": [17, 4242], " 3": [3]}, ("1,,2", "a", "-1", "")),
    (options.lanes_of, {"1, 8": [1, 8]}, ("0,1", "", "1;2")),
    (options.threads, {"1": 1, "64": 64}, ("0", "1025", "9" * 14, "x")),
    (options.probability, {"0": 0.0, "0.25": 0.25}, ("1", "-0.1", "nan", "x")),
    (options.minutes, {"0": 0.0, "1.5": 1.5}, ("-1", "inf", "nan", "soon")),
    (options.above_zero, {"1e-3": 1e-3}, ("0", "-1", "inf", "nan", "x"))],
    ids=lambda value: getattr(value, "__name__", ""))
def test_types(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=f"^{text!r} is "):
            kind(text)


@pytest.mark.parametrize("text", ["cpu:x", "cuda:x", "gpu", "", "meta"])
def test_no_device(text):
    parser = argparse.ArgumentParser()
    options.add_device(parser)
    with pytest.raises(UserError, match=f"--device {text}: it must be cpu or cuda"):
        parser.parse_args(["--device", text])


def test_an_artifact_or_a_task():
    parser = argparse.ArgumentParser()
    options.add_artifact_or_task(parser)
    args = parser.parse_args(["--task", "digits", "--net", "small"])
    assert options.artifact_of(args.task, args.net) == options.build("artifacts", "digits.small")
    for wrong in ([], ["--task", "t", "--artifact", "a"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)
