"""Makes the golden cases of nll_loss beside this script, in losses/nll_loss/, with PyTorch; make.py tells what it needs, and how
bounds are chosen. CORNERS.md in that folder lists the corners with what PyTorch gives.

    venv/bin/python tests/golden/nll_loss.py
"""

import math
import random

import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

import make
import sources
import special

inf, nan = math.inf, math.nan
OP = "nll_loss"
FOLDER = "losses/nll_loss"
CASES = 80
SPECIAL_CASES = 100
LARGEST_CASE = 2000

rng = random.Random(OP)
sources.SIGNATURES[OP] = sources.inspect.signature(F.nll_loss)


def loss(params):
    return lambda **tensors: {"output": F.nll_loss(**tensors, **params)}


def logs(*shape):
    """Log-probabilities."""
    scores = torch.randn(shape) * rng.choice([1, 1, 5, 20])
    return torch.log_softmax(scores, 0 if len(shape) == 1 else 1) if scores.numel() else scores


def classes(*values):
    return torch.tensor(values)


def scale(params, tensors):
    """What the terms of the loss add up to without their signs."""
    sizes = {**tensors, "input": tensors["input"].nan_to_num(0, 0, 0).abs()}
    if "weight" in sizes:
        sizes["weight"] = sizes["weight"].nan_to_num(0, 0, 0).abs()
    return F.nll_loss(**sizes, **params).abs().nan_to_num(0, 0, 0).max().item() if tensors["input"].numel() else None


def add(folder, case_id, params, tensors):
    """Adds a call if PyTorch takes it and a test takes what it gives, and returns that."""
    outputs32, outputs64 = make.both(loss(params), tensors)
    if make.is_nearly_zero(outputs64["output"]):
        return None
    folder.add(case_id, OP, params, tensors, outputs32, outputs64, scale(params, tensors))
    return outputs32["output"]


def draw(most_classes=300):
    """Parameters and tensors."""
    count = rng.choice([n for n in [1, 2, 3, 5, 10, 33, 64, 100, 300] if n <= most_classes])
    shape = [count]
    if rng.random() < 0.9:
        batch = rng.choice([1, 2, 3, 5, 8, 17]) if rng.random() < 0.95 else 0
        shape = [batch, count, *[rng.choice([1, 2, 3, 5, 8]) for _ in range(rng.choice([0, 0, 1, 2, 3]))]]
    rows = [] if len(shape) == 1 else [shape[0], *shape[2:]]
    if len(shape) == 1 and rng.random() < 0.3:
        rows = [1]
    params = {}
    if rng.random() < 0.7:
        params["reduction"] = rng.choice(["none", "mean", "sum"])
    target = torch.randint(0, count, rows)
    if rng.random() < 0.5:
        params["ignore_index"] = rng.choice([-100, 0, count - 1, count + 3, -1])
        target = torch.where(torch.rand(rows) < 0.3, torch.tensor(params["ignore_index"]), target)
    tensors = {"input": logs(*shape), "target": target}
    if rng.random() < 0.5:
        tensors["weight"] = torch.rand(count) + 0.05
    return params, tensors


def add_random(folder):
    made = 0
    while made < CASES:
        params, tensors = draw()
        if tensors["input"].numel() <= LARGEST_CASE and add(folder, f"random/{OP}/{made}", params, tensors) is not None:
            made += 1


def add_opinfo(folder):
    """PyTorch's own samples, and what it must refuse."""
    [info] = [info for info in op_db if info.name == f"nn.functional.{OP}"]
    torch.manual_seed(7)
    for index, sample in enumerate(info.sample_inputs("cpu", torch.float32)):
        tensors, params = sources.bind(OP, [sample.input, *sample.args], sample.kwargs)
        if index < 60 and tensors["input"].numel() <= LARGEST_CASE:
            add(folder, f"opinfo/{OP}/{index}", params, tensors)


def corners():
    """(text, params, tensors)."""
    x = torch.log_softmax(torch.tensor([[1.0, 2.0, 0.5], [0.1, -3.0, 2.0], [0.0, 0.0, 0.0]]), 1)
    w = torch.tensor([0.2, 0.0, 1.5])
    for reduction in ("none", "mean", "sum"):
        r = {"reduction": reduction}
        yield f"ignore_index inside the classes, {reduction}", {**r, "ignore_index": 1}, {"input": x, "target": classes(0, 1, 2)}
        yield f"ignore_index above the classes, {reduction}", {**r, "ignore_index": 9}, {"input": x, "target": classes(0, 9, 2)}
        yield f"all rows ignored, {reduction}", r, {"input": x, "target": classes(-100, -100, -100)}
        yield f"weights, one of them 0, {reduction}", r, {"input": x, "target": classes(0, 1, 2), "weight": w}
        yield f"weights that add up to 0, {reduction}", r, {"input": x, "target": classes(1, 1, 1), "weight": w}
        yield f"weights of both signs that add up to 0, {reduction}", r, {"input": x, "target": classes(0, 2, 2), "weight": torch.tensor([2.0, 0.0, -1.0])}
        yield f"batch of 0, {reduction}", r, {"input": torch.zeros(0, 3), "target": torch.zeros(0, dtype=torch.long)}
        yield f"batch of 0 without classes, {reduction}", r, {"input": torch.zeros(0, 0), "target": torch.zeros(0, dtype=torch.long)}
        yield f"images without rows, {reduction}", r, {"input": torch.zeros(2, 3, 0, 4), "target": torch.zeros(2, 0, 4, dtype=torch.long)}
        yield f"one row without a batch, {reduction}", r, {"input": x[0], "target": torch.tensor(2)}
        yield f"one row without a batch, its class in an array, {reduction}", r, {"input": x[0], "target": classes(2)}
    none = {"reduction": "none"}
    yield "one class", {}, {"input": x[:, :1], "target": classes(0, 0, 0)}
    yield "numbers that are no logarithms", none, {"input": -x * 100, "target": classes(0, 1, 2)}
    yield "-infinity is a class of probability 0", none, {"input": torch.tensor([[-inf, 0.0], [0.0, -inf]]), "target": classes(0, 0)}
    yield "-infinity times a weight of 0", none, {"input": torch.tensor([[-inf, 0.0], [0.0, -inf]]), "target": classes(0, 0), "weight": torch.tensor([0.0, 1.0])}
    yield "NaN in an ignored row, and in other classes, does nothing", {}, {"input": torch.tensor([[nan, -1.0], [-2.0, nan]]), "target": classes(-100, 0)}
    yield "an infinite weight of another class does nothing", {}, {"input": x, "target": classes(0, 1, 1), "weight": torch.tensor([1.0, 2.0, inf])}
    yield "an infinite weight", {}, {"input": x, "target": classes(0, 1, 2), "weight": torch.tensor([1.0, 2.0, inf])}
    yield "a negative weight", {}, {"input": x, "target": classes(0, 1, 2), "weight": torch.tensor([1.0, -0.5, 2.0])}
    yield "ignore_index beyond 32 bits", {"ignore_index": -(2**40)}, {"input": x, "target": classes(0, -(2**40), 2)}


def refused():
    """(params, tensors)."""
    right = {"input": make.data(2, 3), "target": classes(0, 2), "weight": torch.ones(3)}
    for target in (classes(0), classes(0, 1, 2), classes(0, 2)[None], classes(0, 2)[:, None], classes(0, 3), classes(-1, 0), classes(0, 2**40), classes(0, -(2**40)), torch.tensor(1), torch.ones(2), torch.ones(2, 3)):
        yield {}, {**right, "target": target}
    for weight in (torch.ones(2), torch.ones(1, 3), torch.tensor(1.0), torch.ones(3, dtype=torch.long)):
        yield {}, {**right, "weight": weight}
    for wrong in [{"reduction": v} for v in ("batchmean", 1, "")] + [{"ignore_index": v} for v in (1.5, "0", [0])]:
        yield wrong, right
    yield {"ignore_index": 7}, {**right, "target": classes(0, -100)}
    for input in (torch.tensor(1.0), make.data(2, 4), torch.zeros(2, 0), make.data(3), make.data(2, 3, 1), torch.ones(2, 3, dtype=torch.long)):
        yield {}, {**right, "input": input}
    yield {}, {"input": make.data(3), "target": classes(0, 1, 2)}
    image = {"input": make.data(2, 3, 4, 5), "target": torch.zeros(2, 4, 5, dtype=torch.long)}
    for shape in ((2, 5, 4), (2, 20), (2, 1, 4, 5), (4, 5)):
        yield {}, {**image, "target": torch.zeros(shape, dtype=torch.long)}
    for name in ("input", "target"):
        yield {}, {k: v for k, v in right.items() if k != name}


def add_refused(folder):
    for index, (params, tensors) in enumerate(refused()):
        try:
            loss(params)(**tensors)
        except Exception:
            folder.add_error(f"bad_input/{OP}/{index}", OP, params, tensors)
        else:
            raise AssertionError(f"PyTorch takes {params}, {tensors}")


def overflows(params, tensors, outputs32, outputs64):
    """Whether float32 overflows on the way to what float64 has finite, or the order of a sum decides what comes of it."""
    kind = lambda output: (output.float().isnan(), output.float().isposinf(), output.float().isneginf())
    if any(not torch.equal(a, b) for a, b in zip(kind(outputs32["output"]), kind(outputs64["output"]))):
        return True
    terms = F.nll_loss(**tensors, **{**params, "reduction": "none"})
    return params.get("reduction", "mean") != "none" and int((terms.abs() > 1e37).sum()) > 1


def add_special(folder):
    special.rng.seed(OP)
    made = turn = 0
    while made < SPECIAL_CASES:
        params, tensors = draw(most_classes=10)
        turn += 1
        if not tensors["input"].numel():
            continue
        if turn % 2:
            tensors.setdefault("weight", torch.rand(tensors["input"].shape[min(tensors["input"].dim() - 1, 1)]) + 0.05)
        names = [name for name in ("input", "weight") if name in tensors]
        # Beside huge outputs a case's bound lets small ones be anything, so most calls have none.
        values = special.SPECIAL if rng.random() < 0.5 else special.SPECIAL[:4]
        for name in {names[turn // 2 % len(names)]} | {name for name in names if rng.random() < 0.15}:
            tensors[name] = special.spoil(tensors[name], values)
        outputs32, outputs64 = make.both(loss(params), tensors)
        is_left_out = not outputs64["output"].numel() or make.is_nearly_zero(outputs64["output"])
        if is_left_out or overflows(params, tensors, outputs32, outputs64):
            continue
        folder.add(f"special/{OP}/{made}", OP, params, tensors, outputs32, outputs64, scale(params, tensors))
        made += 1


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(4)
    make.rng.seed(OP)
    (make.HERE / FOLDER).mkdir(parents=True, exist_ok=True)
    folder = make.Folder(FOLDER)
    add_random(folder)
    add_opinfo(folder)
    lines = []
    for index, (text, params, tensors) in enumerate(corners()):
        output = add(folder, f"corners/{OP}/{index}", params, tensors)
        assert output is not None, text
        names = ", ".join(f"{k} {v}" for k, v in params.items())
        lines.append(f"| {OP}/{index} | {text} | {names} | output {make.in_short(output)} |")
    add_special(folder)
    add_refused(folder)
    folder.save()
    head = [f"# What PyTorch 2.11's {OP} does in the corners", "",
            "Written by `nll_loss.py`, which asked PyTorch. Each line is a case beside this file.", "",
            "| case | corner | parameters | what PyTorch gives |", "|---|---|---|---|"]
    (make.HERE / FOLDER / "CORNERS.md").write_text("\n".join([*head, *lines]) + "\n")
