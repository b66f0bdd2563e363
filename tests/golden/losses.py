"""Makes the golden data of smooth_l1_loss and binary_cross_entropy_with_logits beside this script, in losses/, with PyTorch;
make.py tells what it needs, and what expected values and bounds are.

    venv/bin/python tests/golden/losses.py

Ids begin with where a call is from: random (parameters drawn at random), opinfo (PyTorch's own tests), corner (what is not
obvious), special (infinities, NaN and numbers near the largest in every argument) and bad_input (what must be refused).
"""

import random
import warnings

import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

import make
import special
from networks import numbers, ramp, row

inf, nan = float("inf"), float("nan")
rng = random.Random("losses")
RANDOM, SPECIAL = 100, 120


def call(op, params):
    return lambda **tensors: {"output": getattr(F, op)(**tensors, **params)}


def reductions():
    return {"reduction": rng.choice(["none", "mean", "sum"])} if rng.random() < 0.8 else {}


def smooth_l1_loss(most=64):
    shape = [rng.choice([1, 2, 3, 8, most]) for _ in range(rng.randint(0, 3))]
    other = list(shape)
    if shape and rng.random() < 0.3:
        other = [1 if rng.random() < 0.5 else length for length in shape][rng.randint(0, len(shape) - 1):]
    tensors = {"input": torch.randn(shape) * 2, "target": torch.randn(other) * 2}
    if rng.random() < 0.3:
        tensors = {"input": tensors["target"], "target": tensors["input"]}
    return {**reductions(), **({"beta": rng.choice([0.0, 0.1, 0.5, 1.0, 3.0, 100.0])} if rng.random() < 0.7 else {})}, tensors


def binary_cross_entropy_with_logits(most=64):
    shape = [rng.choice([1, 2, 3, 8, most]) for _ in range(rng.randint(0, 3))]
    kind = rng.random()
    target = torch.rand(shape) if kind < 0.5 else torch.randint(0, 2, shape).float() if kind < 0.9 else torch.randn(shape)
    tensors = {"input": torch.randn(shape) * rng.choice([1, 1, 5, 30]), "target": target}
    for name in ("weight", "pos_weight"):
        if rng.random() < 0.5:
            broadcast = [1 if rng.random() < 0.3 else length for length in shape]
            tensors[name] = torch.rand(broadcast[rng.randint(0, len(shape)) if rng.random() < 0.5 else 0:]) * 3
    return reductions(), tensors


OPERATORS = {function.__name__: function for function in [smooth_l1_loss, binary_cross_entropy_with_logits]}


def add(folder, case_id, op, params, tensors):
    """Adds a call; returns whether it is one whose expectation says something, and which float32 can compute."""
    try:
        outputs32, outputs64 = make.both(call(op, params), tensors)
    except (RuntimeError, ValueError):
        return False
    if make.is_nearly_zero(outputs64["output"]) or outputs64["output"].numel() > 6000:
        return False
    if make.of_other_kind(case_id, params, outputs32, outputs64):
        return False
    folder.add(case_id, op, params, tensors, outputs32, outputs64)
    return True


def add_random(folder, op):
    made = 0
    while made < RANDOM:
        made += add(folder, f"random/{op}/{made}", op, *OPERATORS[op]())


def add_special(folder, op):
    """Each argument in turn, and now and then more than one."""
    made = turn = 0
    while made < SPECIAL:
        params, tensors = OPERATORS[op](most=5)
        names = list(tensors)
        chosen = {names[turn % len(names)]} | {name for name in names if rng.random() < 0.15}
        values = special.SPECIAL if rng.random() < 0.5 else special.SPECIAL[:4]
        for name in sorted(chosen):
            if tensors[name].numel():
                tensors[name] = special.spoil(tensors[name].clone(), values)
        turn += 1
        made += add(folder, f"special/{op}/{made}", op, params, tensors)


def add_opinfo(folder, op):
    [info] = [info for info in op_db if info.name == f"nn.functional.{op}"]
    torch.manual_seed(7)
    for index, sample in enumerate(info.sample_inputs("cpu", torch.float32)):
        params, tensors = {}, {"input": sample.input, "target": sample.args[0]}
        for name, value in sample.kwargs.items():
            (tensors if torch.is_tensor(value) else params)[name] = value
        if not set(params) <= {"reduction", "beta"}:
            continue
        add(folder, f"opinfo/{op}/{index}", op, params, {name: t.detach() for name, t in tensors.items()})


def corners():
    """(operator, parameters, tensors) of each corner."""
    for reduction in ("none", "mean", "sum"):
        for beta in (0.0, 0.5, 1.0):
            p = {"reduction": reduction, "beta": beta}
            yield "smooth_l1_loss", p, {"input": ramp(2, 1, 3, 1), "target": ramp(1, 4, 1, 2) + 0.3}
            yield "smooth_l1_loss", p, {"input": ramp(3, 5), "target": torch.tensor(0.3)}
            yield "smooth_l1_loss", p, {"input": torch.zeros(0, 3), "target": torch.zeros(1, 3)}
            yield "smooth_l1_loss", p, {"input": torch.tensor(2.0), "target": torch.tensor(-1.5)}
        p = {"reduction": reduction}
        x, t = torch.sin(numbers(4, 3)) * 3, torch.cos(numbers(4, 3)) / 2 + 0.5
        yield "binary_cross_entropy_with_logits", p, {"input": x, "target": t, "weight": row(1, 2, 0.5)}
        yield "binary_cross_entropy_with_logits", p, {"input": x, "target": t, "weight": ramp(4, 1), "pos_weight": row(1, 2, 0.5)}
        yield "binary_cross_entropy_with_logits", p, {"input": x, "target": t, "weight": torch.tensor(2.0), "pos_weight": x.abs()}
        yield "binary_cross_entropy_with_logits", p, {"input": torch.zeros(0, 3), "target": torch.zeros(0, 3), "pos_weight": row(1, 2, 3)}
        yield "binary_cross_entropy_with_logits", p, {"input": torch.tensor(2.0), "target": torch.tensor(0.25)}
        yield "binary_cross_entropy_with_logits", p, {"input": torch.randn(43, 101), "target": torch.rand(43, 101)}
        yield "smooth_l1_loss", p, {"input": torch.randn(43, 101), "target": torch.randn(43, 101)}
        yield "smooth_l1_loss", p, {"input": torch.randn(64, 80), "target": torch.randn(64, 80)}
    none = {"reduction": "none"}
    yield "smooth_l1_loss", {**none, "beta": 0.5}, {"input": row(0.5, -0.5, 0.25, 1, 0, -0.0), "target": torch.zeros(6)}
    yield "smooth_l1_loss", {**none, "beta": 1e-20}, {"input": row(1e-21, -1e-20, 1, -1), "target": torch.zeros(4)}
    for beta in (0, 1, 2.5):
        yield "smooth_l1_loss", {**none, "beta": beta}, {"input": row(nan, inf, -inf, inf, inf, 3e38), "target": row(1, 1, 1, inf, -inf, -1e37)}
    for t in (0.0, 1.0, 0.25):
        x = row(-200, -90, -20, -1, 0, 1, 20, 90, 200)
        for more in ({}, {"pos_weight": torch.tensor(3.0)}, {"pos_weight": torch.tensor(0.5)}):
            yield "binary_cross_entropy_with_logits", none, {"input": x, "target": torch.full((9,), t), **more}
    yield "binary_cross_entropy_with_logits", none, {"input": row(-20, 0, 20), "target": row(1, 1, 0.5), "pos_weight": torch.tensor(0.0)}
    x, t = row(inf, inf, inf, -inf, -inf, -inf, nan, 1, 1, 1), row(0, 1, 0.5, 0, 1, 0.5, 0.5, nan, inf, -inf)
    for more in ({}, {"pos_weight": torch.tensor(2.0)}, {"pos_weight": torch.tensor(inf)}, {"weight": torch.tensor(0.0)}):
        yield "binary_cross_entropy_with_logits", none, {"input": x, "target": t, **more}


def bad_inputs():
    x = ramp(2, 3)
    for target in (ramp(2), ramp(3, 2), ramp(4, 3), ramp(0, 3)):
        yield "smooth_l1_loss", {}, {"input": x, "target": target}
    for params in ({"beta": -1.0}, {"beta": "small"}, {"reduction": "max"}, {"reduction": 1}, {"beta": None}):
        yield "smooth_l1_loss", params, {"input": x, "target": x}
    yield "smooth_l1_loss", {}, {"input": x}
    yield "smooth_l1_loss", {}, {"input": x.long(), "target": x}
    op = "binary_cross_entropy_with_logits"
    for target in (ramp(3), ramp(1, 3), ramp(2, 1), ramp(6), torch.tensor(1.0)):
        yield op, {}, {"input": x, "target": target}
    for name in ("weight", "pos_weight"):
        for shape in ((2,), (1, 1, 3), (2, 2, 3), (0, 3), (4, 3)):
            yield op, {}, {"input": x, "target": x, name: torch.ones(shape)}
        yield op, {}, {"input": torch.tensor(1.0), "target": torch.tensor(1.0), name: torch.ones(1)}
        yield op, {}, {"input": ramp(1, 3), "target": ramp(1, 3), name: torch.ones(2, 3)}
    for params in ({"reduction": "max"}, {"reduction": 1}, {"reduction": None}):
        yield op, params, {"input": x, "target": x}
    yield op, {}, {"target": x}


if __name__ == "__main__":
    # Losses warn of the broadcasts that are drawn on purpose.
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    (make.HERE / "losses").mkdir(exist_ok=True)
    for op in OPERATORS:
        torch.manual_seed(11)
        rng.seed(op)
        special.rng.seed(op)
        folder = make.Folder(f"losses/{op}")
        add_random(folder, op)
        add_opinfo(folder, op)
        for index, (of, params, tensors) in enumerate(corners()):
            if of == op:
                outputs32, outputs64 = make.both(call(op, params), tensors)
                assert not make.is_nearly_zero(outputs64["output"]), (params, tensors)
                folder.add(f"corner/{op}/{index}", op, params, tensors, outputs32, outputs64)
        add_special(folder, op)
        for index, (of, params, tensors) in enumerate(bad_inputs()):
            if of == op:
                folder.add_error(f"bad_input/{op}/{index}", op, params, tensors)
        folder.save()
