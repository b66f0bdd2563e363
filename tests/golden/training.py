"""Makes the golden data of sgd, adam, clip_grad_norm, zero and dropout beside this script, in training/, with PyTorch;
make.py tells what it needs. The bits of dropout come from randomgen, an implementation of Philox of its own.

    venv/bin/pip install randomgen==2.5.1
    venv/bin/python tests/golden/training.py

Ids begin with where a call is from: random (parameters drawn at random), corner (what is not obvious; CORNERS.md lists it),
special (infinities, NaN and numbers near the largest in every argument) and bad_input (what must be refused). A case is one
step: inputs are before it, outputs of the same name after it. Inputs are float32. Expected values come from PyTorch in
float64, rounded to float32 once; learning rates are the float32's value, bias corrections are Python's numbers.

A bound `atol` is 4 times the error of PyTorch's own float32, but at least 2^-22 of the largest sum of magnitudes that an
output adds up, twice that where there is a division or a root, where the update of adam counts 4 times, and 2^-126, since
a GPU may take 0 for what is no normal number. What is copied gets 0.
"""

import collections
import json
import math
import random
import zlib

import torch
import torch.nn.functional as F
from randomgen import Philox
from safetensors.torch import load_file

import make
import special
from networks import ramp, row

inf, nan = math.inf, math.nan
rng = random.Random("training")

NAME = "training"
RANDOM, SPECIAL, BACKWARD, SPECIAL_BACKWARD = 80, 100, 30, 40
LARGE = [300, 301, 515, 1023, 1026, 2050]
# Outputs after a division or a root, of which less is asked.
DIVIDED = {("adam", "param"), ("clip_grad_norm", "total_norm"), ("clip_grad_norm", "grad")}
# These have no special values.
SCALARS = {"lr", "step"}
# A random case says nothing where a bound is more than this of the largest element.
MOST_BOUND = 1e-3

# ------------------------------------------------------------------------------------------------- what PyTorch gives


def optimized(optimizer, tensors, states, kind):
    """One step of an optimizer, from these states on."""
    param = torch.nn.Parameter(tensors["param"].to(kind).clone())
    param.grad = tensors["grad"].to(kind).clone()
    optimizer = optimizer([param])
    optimizer.state[param] = {name: tensors[name].to(kind).clone() for name in states}
    optimizer.step()
    return {"param": param.detach(), **optimizer.state[param]}


def sgd(params, tensors, kind):
    make_optimizer = lambda of: torch.optim.SGD(of, lr=tensors["lr"].item(), **params, foreach=False)
    if not params.get("momentum", 0):
        return {"param": optimized(make_optimizer, tensors, [], kind)["param"]}
    # PyTorch has no count of steps: at the first there is no buffer.
    states = ["momentum_buffer"] if tensors["step"].item() else []
    return {**optimized(make_optimizer, tensors, states, kind), "step": tensors["step"] + 1}


def adam(params, tensors, kind):
    params = dict(params)
    kind_of = torch.optim.AdamW if params.pop("decoupled_weight_decay", False) else torch.optim.Adam
    # AdamW's default is 0.01.
    params = {"weight_decay": 0, **params}
    make_optimizer = lambda of: kind_of(of, lr=tensors["lr"].item(), **params, foreach=False)
    outputs = optimized(make_optimizer, tensors, ["exp_avg", "exp_avg_sq", "step"], kind)
    return {**outputs, "step": outputs["step"].float()}


def clip_grad_norm(params, tensors, kind):
    param = torch.nn.Parameter(torch.zeros_like(tensors["grad"].to(kind)))
    param.grad = tensors["grad"].to(kind).clone()
    total_norm = torch.nn.utils.clip_grad_norm_([param], params["max_norm"], foreach=False)
    return {"total_norm": total_norm, "grad": param.grad}


def zero(params, tensors, kind):
    return {"input": tensors["input"].to(kind).clone().zero_()}


def noised(input, mask, p):
    """What F.dropout makes of its own mask."""
    return input * (torch.zeros((), dtype=input.dtype) if p == 1 else mask.to(input.dtype).div(1 - p))


def dropout(params, tensors, kind):
    input, p = tensors["input"].to(kind).requires_grad_("grad_output" in tensors), params.get("p", 0.5)
    generator = after = tensors["generator"]
    if p == 0 or not params.get("training", True):
        output = input * 1
    else:
        seed, offset = bits(*generator[:2].tolist()), bits(*generator[2:].tolist())
        mask = words(seed, offset, input.numel()) >= math.floor(p * 2**32)
        output = noised(input, mask.reshape(input.shape), p)
        after = torch.tensor([*generator[:2].tolist(), *halves(offset + math.ceil(input.numel() / 4))])
    outputs = {"output": output.detach(), "saved_generator": generator, "generator": after}
    if "grad_output" in tensors:
        [outputs["grad_input"]] = torch.autograd.grad(output, input, tensors["grad_output"].to(kind))
    return outputs


def check_noised():
    """F.dropout itself, with PyTorch's own bits."""
    x = torch.cat([torch.linspace(-2, 2, 50), *[row(inf, -inf, nan, 3e38, -0.0)] * 10])
    for kind in (torch.float32, torch.float64):
        for p in (0.1, 0.3, 0.5, 0.9, 0.999999, 1.0):
            with torch.random.fork_rng():
                torch.manual_seed(5)
                mask = F.dropout(torch.ones(len(x)), p) != 0
                torch.manual_seed(5)
                got = F.dropout(x.to(kind), p)
            assert torch.equal(got.nan_to_num(7), noised(x.to(kind), mask, p).nan_to_num(7)), (kind, p)
            assert torch.equal(got.isnan(), noised(x.to(kind), mask, p).isnan()), (kind, p)


# ------------------------------------------------------------------------------------------------- Philox


def bits(low, high):
    """The 64 bits of two signed numbers."""
    return low % 2**32 + high % 2**32 * 2**32


def halves(number):
    """Two signed numbers for 64 bits."""
    return [(number >> at) % 2**32 - (2**32 if number >> at & 2**31 else 0) for at in (0, 32)]


def generator(seed, offset=0):
    return torch.tensor([*halves(seed), *halves(offset)])


def philox(key, counter, count):
    """The words of the blocks from a counter of 128 bits on. randomgen counts before it makes a block."""
    return [int(word) for word in Philox(key=key, counter=(counter - 1) % 2**128, number=4, width=32).random_raw(count)]


def words(seed, offset, count):
    """Counters are of 64 bits."""
    before_carry = min(count, (2**64 - offset) * 4)
    made = philox(seed, offset, before_carry) if before_carry else []
    return torch.tensor(made + (philox(seed, 0, count - before_carry) if count > before_carry else []), dtype=torch.int64)


def check_philox():
    """The known answers of Random123."""
    for counter, key, answer in [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]:
        number = lambda text: sum(int(word, 16) << 32 * at for at, word in enumerate(text.split()))
        assert philox(number(key), number(counter), 4) == [int(word, 16) for word in answer.split()], counter


# ------------------------------------------------------------------------------------------------- bounds


def sizes(tensors):
    """Magnitudes of what is finite."""
    return {name: t.double().abs().where(t.isfinite(), torch.zeros(())) for name, t in tensors.items() if t.is_floating_point()}


def sgd_sizes(params, tensors, outputs):
    s, momentum = sizes(tensors), params.get("momentum", 0)
    grad = step = s["grad"] + params.get("weight_decay", 0) * s["param"]
    peaks = {}
    if momentum:
        step = momentum * s["momentum_buffer"] + abs(1 - params.get("dampening", 0)) * grad if s["step"] else grad
        peaks["momentum_buffer"] = step
        step = grad + momentum * step if params.get("nesterov") else step
    return {**peaks, "param": s["param"] + s["lr"] * step}


def adam_sizes(params, tensors, outputs):
    s, [beta1, beta2] = sizes(tensors), params.get("betas", [0.9, 0.999])
    grad = s["grad"] + (0 if params.get("decoupled_weight_decay") else params.get("weight_decay", 0) * s["param"])
    difference = grad + s["exp_avg"]
    average = s["exp_avg"] + (1 - beta1) * difference if 1 - beta1 < 0.5 else grad + beta1 * difference
    step = s["step"].item() + 1
    denominator = (outputs["exp_avg_sq"] / (1 - beta2**step)).sqrt() + params.get("eps", 1e-8)
    quotient = average / denominator
    quotient = quotient.where(quotient.isfinite(), torch.zeros((), dtype=torch.float64))
    squares = beta2 * s["exp_avg_sq"] + (1 - beta2) * grad.square()
    update = s["lr"] / (1 - beta1**step) * quotient
    return {"exp_avg": average, "exp_avg_sq": squares, "param": s["param"] + update * 4, "quotient": quotient}


def clip_grad_norm_sizes(params, tensors, outputs):
    grad = sizes(tensors)["grad"]
    # Squares may be taken for 0.
    norm = grad.square().sum().sqrt() + math.sqrt(grad.numel()) * 2.0**-63 * 2.0**21
    # PyTorch takes no square of one element alone; beside an infinity or NaN an overflow changes nothing.
    squares = grad.square().sum() if outputs["total_norm"].isfinite() else torch.zeros(())
    return {"total_norm": norm, "grad": grad, "squares": squares}


def zero_sizes(params, tensors, outputs):
    return {}


def dropout_sizes(params, tensors, outputs):
    p, s = params.get("p", 0.5), sizes(tensors)
    if p in (0, 1) or not params.get("training", True):
        return {}
    return {"output": s["input"] / (1 - p)} | ({"grad_input": s["grad_output"] / (1 - p)} if "grad_output" in s else {})


def overflows(op, peaks):
    """Whether float32 overflows on the way, which decides what comes of an infinity beside it."""
    if op in ("zero", "dropout"):
        return False
    # A square that overflows makes an update of 0, which `add` compares.
    return any(bool((t > special.LARGEST).any()) for name, t in peaks.items() if name != "exp_avg_sq")


OPERATORS = {f.__name__: f for f in [sgd, adam, clip_grad_norm, zero, dropout]}


class Cases(make.Folder):
    def add_call(self, case_id, op, params, tensors, may_say_nothing=False):
        """Adds a case, or returns why it is none."""
        function = OPERATORS[op]
        outputs32, outputs64 = (function(params, tensors, kind) for kind in (torch.float32, torch.float64))
        floats = {name: o for name, o in outputs64.items() if o.is_floating_point()}
        if op != "zero" and any(make.is_nearly_zero(o) for o in floats.values()):
            return "nearly all zeros"
        if make.of_other_kind(case_id, params, outputs32, outputs64):
            return "of another kind"
        peaks = globals()[f"{op}_sizes"](params, tensors, outputs64)
        if overflows(op, peaks):
            return "an overflow"
        specs = {}
        for name, expected in outputs64.items():
            specs[name] = {"tensor": self.put(f"{case_id}/{name}", expected)}
            if name not in floats:
                continue
            finite = expected.float().isfinite()
            error, largest = (outputs32[name].double() - expected)[finite].abs(), expected[finite].abs()
            worst, largest = (t.max().item() if t.numel() else 0.0 for t in (error, largest))
            is_copied = name not in peaks
            least = 0.0 if is_copied else max(peaks[name].max().item() if peaks[name].numel() else 0.0, largest)
            least = 0.0 if is_copied else max(least * 2.0 ** (-21 if (op, name) in DIVIDED else -22), 2.0**-126)
            if worst > 8 * least:
                return "float32 is too far away"
            if not may_say_nothing and largest and max(4 * worst, least) > MOST_BOUND * largest:
                return "a bound that says nothing"
            specs[name] |= {"atol": max(4 * worst, least), "rmse_float32": error.square().mean().sqrt().item() if error.numel() else 0.0}
        inputs = self.put_inputs(case_id, tensors)
        self.cases.append({"id": case_id, "op": op, "params": params, "inputs": inputs, "outputs": specs})
        return None

    def save(self):
        # What was put for a case that then was none.
        used = {name for case in self.cases for name in make.names_of(case)}
        self.tensors = {name: t for name, t in self.tensors.items() if name in used}
        super().save()


# ------------------------------------------------------------------------------------------------- random cases


def shape(is_small=False):
    """Now and then a large one; never an empty one."""
    if not is_small and rng.random() < 0.1:
        return [rng.choice(LARGE)]
    return [rng.choice([1, 2, 3, 5, 7] if is_small else [1, 2, 3, 5, 8, 17]) for _ in range(rng.randint(0, 2 if is_small else 3))]


def some(**choices):
    """Parameters, each of which may be absent."""
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.6}


def scalar(value):
    return torch.tensor(float(value))


def draw_sgd(is_small=False):
    params, of = some(weight_decay=[0.0, 0.01, 0.1, 1], maximize=[True, False]), shape(is_small)
    tensors = {"param": torch.randn(of) * rng.choice([0.01, 1, 1]), "grad": torch.randn(of) * rng.choice([0.01, 1, 10])}
    tensors["lr"] = scalar(rng.choice([1e-3, 0.01, 0.1, 0.5, 1]))
    if rng.random() < 0.75:
        params["momentum"] = rng.choice([0.1, 0.5, 0.9, 0.99, 1, 1.5])
        params |= some(nesterov=[True, False])
        tensors |= {"momentum_buffer": torch.randn(of), "step": scalar(rng.choice([0, 1, 2, 10, 1000]))}
    if not params.get("nesterov"):
        params |= some(dampening=[0.0, 0.3, 0.9, 1])
    return params, tensors


def draw_adam(is_small=False):
    params = some(betas=[[0.9, 0.999], [0.5, 0.9], [0.3, 0.99], [0.0, 0.9], [0.8, 0.0], [0.95, 0.95]], eps=[1e-8, 1e-3, 0.1, 1])
    params |= some(weight_decay=[0.0, 0.01, 0.1, 1], maximize=[True, False], decoupled_weight_decay=[True, False])
    of = shape(is_small)
    tensors = {"param": torch.randn(of) * rng.choice([0.01, 1, 1]), "grad": torch.randn(of) * rng.choice([0.01, 1, 10])}
    tensors |= {"exp_avg": torch.randn(of) * rng.choice([0.1, 1]), "exp_avg_sq": torch.rand(of) * rng.choice([0.01, 1])}
    tensors |= {"lr": scalar(rng.choice([1e-3, 0.01, 0.1, 1])), "step": scalar(rng.choice([0, 1, 2, 5, 10, 100, 1000, 100000]))}
    if tensors["step"] == 0 and rng.random() < 0.7:
        tensors |= {name: torch.zeros(of) for name in ("exp_avg", "exp_avg_sq")}
    return params, tensors


def draw_clip_grad_norm(is_small=False):
    grad = torch.randn(shape(is_small)) * rng.choice([1e-3, 0.1, 1, 1, 100])
    return {"max_norm": rng.choice([rng.choice([1, 0.5, 5]), round(grad.norm().item() * rng.uniform(0.1, 2), 4)])}, {"grad": grad}


def draw_zero(is_small=False):
    return {}, {"input": torch.randn(rng.choice([[], [1], [2], [3], [5], [7], [2, 3], [1, 6], [2, 1, 2], [3, 2], [1, 1, 1, 1]]))}


def draw_dropout(is_small=False):
    params = some(p=[0.1, 0.25, 0.3, 0.5, 0.75, 0.9, rng.random(), rng.random()]) | some(training=[True, True, True, False])
    offset = rng.choice([0, 0, 1, rng.randrange(1000), 2**32 - rng.randrange(1, 5), rng.randrange(2**64)])
    return params, {"input": torch.randn(shape(is_small)), "generator": generator(rng.choice([0, 1, 42, rng.randrange(2**64)]), offset)}


def add_random(folder, op, source="random", count=RANDOM, backward=False):
    """Adds cases until there are this many more; special ones spoil each argument in turn, and now and then more than one."""
    made, first = 0, sum(case["id"].startswith(f"{source}/") for case in folder.cases)
    turn = 0
    while made < count:
        params, tensors = globals()[f"draw_{op}"](source == "special")
        if backward:
            tensors["grad_output"] = torch.randn(tensors["input"].shape)
        if source == "special":
            if op == "adam" and rng.random() < 0.2 or op == "sgd" and rng.random() < 0.05:
                tensors["lr"] = scalar(0)
            if op == "dropout" and rng.random() < 0.2:
                params["p"] = rng.choice([0, 1, 0.999])
            names = [name for name, t in tensors.items() if t.is_floating_point() and name not in SCALARS]
            chosen = {names[turn % len(names)]} | {name for name in names if rng.random() < 0.15}
            # Beside huge outputs a case's bound lets small ones be anything, so most calls have none.
            values = special.SPECIAL if rng.random() < 0.5 and not backward else special.SPECIAL[:4]
            for name in sorted(chosen):
                tensors[name] = special.spoil(tensors[name].clone(), values)
            turn += 1
        made += folder.add_call(f"{source}/{op}/{first + made}", op, params, tensors, source == "special") is None


# ------------------------------------------------------------------------------------------------- corners


def sgd_corners():
    p, g, b = row(1, -2, 0.5, 3, -0.25), row(0.5, 1, -2, 0.125, 4), row(2, -1, 0.5, 1, 3)
    garbage = row(nan, inf, 1e30, -5, nan)
    plain = {"param": p, "grad": g, "lr": scalar(0.1)}
    first = {**plain, "momentum_buffer": garbage, "step": scalar(0)}
    second = {**plain, "momentum_buffer": b, "step": scalar(1)}
    m = {"momentum": 0.9}
    yield "without momentum", {}, plain
    yield "without momentum, dampening does nothing", {"dampening": 0.5}, plain
    yield "the first step takes the gradient for the buffer, whatever that holds", m, first
    yield "the second step", m, second
    yield "dampening does nothing at the first step", {**m, "dampening": 0.5}, first
    yield "dampening at the second step", {**m, "dampening": 0.5}, second
    yield "a dampening of 1 takes nothing of the gradient", {**m, "dampening": 1.0}, second
    yield "a dampening below 0", {**m, "dampening": -0.5}, second
    yield "a dampening of 1, and an infinite gradient", {**m, "dampening": 1.0}, {**second, "grad": row(inf, 1, -inf, nan, 2)}
    yield "nesterov at the first step", {**m, "nesterov": True}, first
    yield "nesterov at the second step", {**m, "nesterov": True}, second
    yield "nesterov, weight decay and maximize", {**m, "nesterov": True, "weight_decay": 0.1, "maximize": True}, second
    yield "maximize negates the gradient before weight decay is added", {"weight_decay": 0.5, "maximize": True}, plain
    yield "weight decay goes into the buffer", {**m, "weight_decay": 0.5}, second
    yield "maximize, the buffer holds negated gradients", {**m, "maximize": True}, second
    yield "maximize at the first step", {**m, "maximize": True}, first
    yield "a momentum above 1", {"momentum": 2}, second
    yield "a learning rate of 0", m, {**second, "lr": scalar(0)}
    yield "a learning rate of 0, and an infinite gradient", {}, {**plain, "grad": row(inf, 1, -inf, nan, 2), "lr": scalar(0)}
    yield "a gradient of zeros", {**m, "weight_decay": 0.1}, {**second, "grad": torch.zeros(5)}
    yield "many steps", m, {**second, "step": scalar(100000)}
    yield "so many steps that float32 does not count on", m, {**second, "step": scalar(2**24)}
    yield "one element", {**m, "nesterov": True}, {name: t if name in SCALARS else t[1] for name, t in second.items()}
    yield "no elements", m, {name: t if name in SCALARS else torch.zeros(0, 3) for name, t in second.items()}
    yield "no elements, without momentum", {}, {name: t if name in SCALARS else torch.zeros(0) for name, t in plain.items()}
    large = {"param": torch.randn(6, 1000), "grad": torch.randn(6, 1000), "lr": scalar(0.05)}
    yield "6000 elements", {"weight_decay": 0.01}, large


def adam_corners():
    p, g, m, v = row(1, -2, 0.5, 3, -0.25), row(0.5, 1, -2, 0.125, 4), row(2, -1, 0.5, 1, 3), row(0.5, 2, 0.25, 1, 3)
    o = torch.zeros(5)
    first = {"param": p, "grad": g, "exp_avg": o, "exp_avg_sq": o, "lr": scalar(0.1), "step": scalar(0)}
    later = {**first, "exp_avg": m, "exp_avg_sq": v, "step": scalar(1)}
    yield "the first step is nearly the learning rate times the gradient's sign", {}, first
    yield "the second step", {}, later
    yield "at step 0 the averages are not taken for zeros", {}, {**later, "step": scalar(0)}
    for step in (10, 1000, 100000, 2**24):
        yield f"step {step}", {}, {**later, "step": scalar(step)}
    yield "betas of 0", {"betas": [0.0, 0.0]}, later
    yield "beta1 of 0 and an infinite average", {"betas": [0.0, 0.9]}, {**later, "exp_avg": row(inf, 1, nan, 2, -inf)}
    for beta1 in (0.3, 0.5, 0.6):
        yield f"beta1 of {beta1}", {"betas": [beta1, 0.9]}, later
        yield f"beta1 of {beta1}, infinite averages and gradients", {"betas": [beta1, 0.9]}, {
            **later, "exp_avg": row(inf, inf, 1, -inf, inf), "grad": row(1, inf, inf, -1, -inf)}
    yield "betas close to 1", {"betas": [0.999, 0.99999]}, {**later, "step": scalar(10)}
    yield "an eps of 0", {"eps": 0}, later
    yield "an eps of 0 and a gradient of 0 at the first step", {"eps": 0.0}, {**first, "grad": row(0, 1, -0.0, 2, 3)}
    yield "an eps of 0 and an average of squares of 0", {"eps": 0.0}, {**later, "grad": o, "exp_avg_sq": o}
    yield "a large eps", {"eps": 10}, later
    yield "weight decay goes into the averages", {"weight_decay": 0.5}, later
    yield "decoupled weight decay does not, and is before the update", {"weight_decay": 0.5, "decoupled_weight_decay": True}, later
    yield "decoupled weight decay of 0", {"decoupled_weight_decay": True}, later
    yield "decoupled weight decay times the learning rate is 1", {"weight_decay": 2, "decoupled_weight_decay": True}, {**later, "lr": scalar(0.5)}
    yield "decoupled weight decay takes an infinite parameter to NaN then", {"weight_decay": 2, "decoupled_weight_decay": True}, {
        **later, "lr": scalar(0.5), "param": row(inf, 1, -inf, nan, 2)}
    yield "maximize", {"maximize": True}, later
    yield "maximize negates the gradient before weight decay is added", {"maximize": True, "weight_decay": 0.5}, later
    yield "maximize, decoupled weight decay makes smaller all the same", {"maximize": True, "weight_decay": 0.5, "decoupled_weight_decay": True}, later
    yield "a learning rate of 0", {}, {**later, "lr": scalar(0)}
    yield "a learning rate of 0, and a NaN update", {}, {**later, "lr": scalar(0), "grad": row(inf, nan, 1, 2, -inf)}
    yield "a learning rate of 0, decoupled weight decay does nothing", {"weight_decay": 0.5, "decoupled_weight_decay": True}, {**later, "lr": scalar(0)}
    yield "a gradient of zeros at the first step", {}, {**first, "grad": o}
    yield "a gradient of zeros later", {}, {**later, "grad": o}
    for size in (1e-20, 1e-30):
        yield f"gradients of {size}, whose squares float32 may not have", {}, {**first, "grad": g * size}
        yield f"gradients of {size}, and an eps of 1e-3", {"eps": 1e-3}, {**first, "param": p * 1e-18, "grad": g * size}
    yield "a negative average of squares", {}, {**later, "exp_avg_sq": row(-1, 1, -inf, 0, inf)}
    yield "gradients whose squares overflow, a learning rate of 0", {}, {**later, "grad": row(1e20, -3e38, 1, 2, 3), "lr": scalar(0)}
    yield "one element", {"weight_decay": 0.1}, {name: t if name in SCALARS else t[1] for name, t in later.items()}
    yield "no elements", {}, {name: t if name in SCALARS else torch.zeros(2, 0) for name, t in later.items()}
    large = {name: torch.randn(3, 1001) for name in ("param", "grad", "exp_avg")}
    yield "3003 elements", {"weight_decay": 0.01}, {**large, "exp_avg_sq": torch.rand(3, 1001), "lr": scalar(0.01), "step": scalar(3)}


def clip_grad_norm_corners():
    yield "a norm above max_norm", {"max_norm": 1}, {"grad": row(3, 4)}
    yield "a norm below max_norm", {"max_norm": 10.0}, {"grad": row(3, -4)}
    yield "a norm of max_norm: 1e-6 is added to the norm, so it becomes smaller", {"max_norm": 5}, {"grad": row(3, 4)}
    yield "the same with a small norm", {"max_norm": 5e-6}, {"grad": row(3e-6, -4e-6)}
    yield "a norm of max_norm minus 1e-6 or less stays", {"max_norm": 6e-6}, {"grad": row(3e-6, -4e-6)}
    yield "a norm of 0", {"max_norm": 1.0}, {"grad": torch.zeros(5)}
    yield "a norm of 0, and a max_norm of 0", {"max_norm": 0}, {"grad": row(0, -0.0)}
    yield "a max_norm of 0", {"max_norm": 0.0}, {"grad": row(3, 4, -1)}
    yield "a large max_norm", {"max_norm": 1e30}, {"grad": ramp(3, 5)}
    yield "a small max_norm", {"max_norm": 1e-20}, {"grad": ramp(3, 5)}
    yield "an infinity: the norm is infinite, it becomes NaN, all else 0", {"max_norm": 1}, {"grad": row(1, inf, -2)}
    yield "infinities of both signs", {"max_norm": 1}, {"grad": row(1, inf, -inf)}
    yield "NaN: the norm is NaN, and so is all else", {"max_norm": 1}, {"grad": row(1, nan, -2)}
    yield "an infinity and NaN", {"max_norm": 1}, {"grad": row(inf, nan, 3e38)}
    yield "an infinity, and a max_norm of 0", {"max_norm": 0}, {"grad": row(inf, 2)}
    for size in (1e-20, 1e-30):
        yield f"gradients of {size}, whose squares float32 may not have", {"max_norm": 1e-7}, {"grad": row(1, -2, 3, 5) * size}
    yield "squares close to the largest", {"max_norm": 1}, {"grad": row(1e19, 1, -0.5e19, 2)}
    yield "one element", {"max_norm": 0.5}, {"grad": torch.tensor(-2.0)}
    yield "no elements", {"max_norm": 0.5}, {"grad": torch.zeros(0)}
    yield "no elements in two dimensions", {"max_norm": 0}, {"grad": torch.zeros(2, 0)}
    yield "6000 elements", {"max_norm": 1}, {"grad": torch.randn(6000)}
    yield "5003 elements of one sign", {"max_norm": 2}, {"grad": torch.rand(5003) + 1}


def zero_corners():
    yield "NaN and infinities", {}, {"input": row(nan, inf, -inf, -0.0, 3e38)}
    yield "one element", {}, {"input": torch.tensor(nan)}
    yield "no elements", {}, {"input": torch.zeros(0)}
    yield "no elements in two dimensions", {}, {"input": torch.zeros(2, 0)}
    for of in ((8,), (257,), (3, 101), (6, 1000)):
        yield f"{math.prod(of)} elements", {}, {"input": torch.randn(of) + 5}


def dropout_corners():
    """Each is a case without a gradient and, but for large ones, one with it."""
    x = row(1, -2, 3, 0.5, -0.25, 4, 7)
    special_x = row(inf, -inf, nan, 3e38, -0.0, inf, nan)
    word = words(7, 0, 7).tolist()
    # The first element that is kept at 0.999999.
    seed, p = 5, 0.999999
    kept = (words(seed, 0, 4_000_000) >= math.floor(p * 2**32)).nonzero()[0].item() // 4
    yield "p of 0 keeps all and takes no bits", {"p": 0}, x, generator(7)
    yield "not training keeps all and takes no bits", {"p": 0.5, "training": False}, x, generator(7, 3)
    yield "not training with p of 1", {"p": 1.0, "training": False}, x, generator(7, 3)
    yield "p of 1 drops all, and takes bits", {"p": 1}, x, generator(7, 3)
    yield "p of 1 times infinities", {"p": 1.0}, special_x, generator(7, 3)
    yield "a dropped infinity becomes NaN", {"p": 0.5}, special_x, generator(7, 3)
    yield "p of 1e-10 drops nothing", {"p": 1e-10}, x, generator(7)
    yield "p of 0.999999, and an element that is kept", {"p": p}, x, generator(seed, kept)
    yield "p of 0.999999", {"p": p}, x, generator(7)
    for text, number in (("the word itself keeps", word[1]), ("a half above the word keeps", word[1] + 0.5), ("1 above the word drops", word[1] + 1)):
        yield f"p of 2^-32 times {text} the second element", {"p": number / 2**32}, x, generator(7)
    yield "a seed of 2^32 - 1", {}, x, generator(2**32 - 1)
    yield "a seed in the high half alone", {}, x, generator(5 << 32)
    yield "all bits of the seed", {}, x, generator(2**64 - 1)
    yield "an offset of 2^31", {}, x, generator(7, 2**31)
    yield "an offset in the high half alone", {}, x, generator(7, 9 << 32)
    yield "an offset that becomes 2^32", {}, x, generator(7, 2**32 - 2)
    yield "the carry inside of a call", {"p": 0.3}, torch.randn(5, 7), generator(7, 2**32 - 3)
    yield "the carry into a high half that is not 0", {"p": 0.3}, torch.randn(33), generator(7, 2**35 - 1)
    yield "the offset becomes 0", {"p": 0.3}, torch.randn(31), generator(7, 2**64 - 8)
    yield "the offset goes past 2^64", {"p": 0.3}, torch.randn(30), generator(7, 2**64 - 2)
    for count in range(1, 10):
        yield f"a count of {count}", {"p": 0.25}, torch.ones(count) * 3, generator(11, 20)
    yield "one element without dimensions", {"p": 0.25}, torch.tensor(2.0), generator(11, 19)
    yield "no elements take no bits", {}, torch.zeros(0), generator(11, 20)
    yield "no elements in two dimensions", {"p": 1}, torch.zeros(2, 0), generator(11, 20)
    yield "6000 elements", {"p": 0.2}, torch.ones(6000), generator(2**63 + 12345, 2**40 + 17)
    yield "4099 elements", {"p": 0.7}, torch.ones(4099), generator(3)


def add_corners(folder, op):
    """Returns lines of a table, without those of gradients."""
    lines, index = [], 0
    for text, params, *tensors in globals()[f"{op}_corners"]():
        calls = tensors
        if op == "dropout":
            calls = [{"input": tensors[0], "generator": tensors[1]}]
            if tensors[0].numel() < 100:
                grad_output = (ramp(max(tensors[0].numel(), 1)).flatten()[:tensors[0].numel()] + 0.5).reshape(tensors[0].shape)
                calls.append({**calls[0], "grad_output": grad_output})
        for call in calls:
            reason = folder.add_call(f"corner/{op}/{index}", op, params, call, may_say_nothing=True)
            assert reason is None, (op, text, reason)
            names = ", ".join(f"{k} {v}" for k, v in params.items())
            outputs = OPERATORS[op](params, call, torch.float32)
            shown = "; ".join(f"{name} {make.in_short(o)}" for name, o in outputs.items() if name != "saved_generator")
            if "grad_output" not in call:
                lines.append(f"| {op}/{index} | {text} | {names} | {shown} |")
            index += 1
    return lines


TEXT = """# What PyTorch 2.11 does in the corners of training

Written by `training.py`, which asked PyTorch. Each line of the table is a case in the folder of its operator; the
case after one of dropout is the same with a gradient.

- sgd: at its first step (`step` 0) the momentum buffer becomes the gradient, without dampening; what the buffer held does not
  matter, not even NaN. With nesterov the first step is therefore (1 + momentum) times the gradient. Of the gradient,
  `maximize` is taken first, then weight decay is added, so both go into the buffer, and maximize does not negate the decay.
- adam: `step` is counted up first; bias corrections are 1 - beta^step as Python's numbers, of double precision.
  Weight decay is added to the gradient (after maximize), or, decoupled, the parameter is multiplied by
  1 - lr * weight_decay before the update. eps is added to the root after its bias correction.
- adam's `exp_avg` is a lerp by w = 1 - beta1, with two formulas: exp_avg + w (grad - exp_avg) for w < 0.5, else
  grad - (grad - exp_avg) (1 - w). An infinite exp_avg and a finite gradient give NaN by the first and an infinity by the
  second, a finite exp_avg and an infinite gradient an infinity by the first and NaN by the second.
- clip_grad_norm: the factor is max_norm / (norm + 1e-6), at most 1; it is multiplied by in any case. An infinite norm gives
  a factor of 0: infinities become NaN, all else 0. A norm of NaN gives NaN everywhere.
- dropout multiplies by 0 or by 1 / (1 - p): a dropped infinity or NaN becomes NaN, in the gradient as well. With p = 1 it
  multiplies by 0. Which elements are dropped is this library's own: word i % 4 of Philox4x32-10's block offset + i / 4 is
  compared with floor(p 2^32). An offset has 64 bits and goes on from 0 after the last.
- PyTorch takes a negative max_norm (and turns the gradient around) and any dampening; here a negative max_norm is refused.
"""

# ------------------------------------------------------------------------------------------------- bad input


def without(tensors, *names):
    return {name: t for name, t in tensors.items() if name not in names}


def of_wrong_shape(params, tensors):
    """Each argument in turn; a missing one, and one of integers, as well."""
    for name, t in tensors.items():
        shapes = [(1,), (1, 1)] if t.dim() == 0 else [(3, 2), (2,), (6,), (1, 2, 3), (2, 4), (0, 3), ()]
        for of in shapes:
            yield params, {**tensors, name: torch.ones(of)}
        yield params, without(tensors, name)
        yield params, {**tensors, name: t.long()}


def sgd_bad_inputs():
    plain = {"param": ramp(2, 3), "grad": ramp(2, 3), "lr": scalar(0.1)}
    momentum = {**plain, "momentum_buffer": ramp(2, 3), "step": scalar(1)}
    yield from of_wrong_shape({}, plain)
    yield from of_wrong_shape({"momentum": 0.9}, momentum)
    yield {}, momentum
    yield {"momentum": 0}, without(momentum, "step")
    yield {}, without(momentum, "momentum_buffer")
    yield {"momentum": 0.9}, plain
    for params in ({"momentum": -0.1}, {"weight_decay": -0.1}, {"nesterov": True, "dampening": 0.1}):
        yield {"momentum": 0.9, **params}, momentum
    for value in ("0.9", None, [0.9], True):
        yield {"momentum": value}, momentum
    for name in ("dampening", "weight_decay"):
        for value in ("0.1", None, [0.1, 0.2]):
            yield {name: value}, plain
    for name in ("nesterov", "maximize"):
        for value in ("yes", 1, 0.5, None):
            yield {"momentum": 0.9, name: value}, momentum
    yield {"weight_decay": -1e-3}, plain
    yield {"nesterov": True}, plain
    yield {"nesterov": True, "momentum": 0}, plain


def adam_bad_inputs():
    tensors = {name: ramp(2, 3) for name in ("param", "grad", "exp_avg", "exp_avg_sq")} | {"lr": scalar(0.1), "step": scalar(1)}
    yield from of_wrong_shape({}, tensors)
    for betas in ([1, 0.9], [0.9, 1.0], [-0.1, 0.9], [0.9, -0.1], [2, 2], [0.9], [0.9, 0.9, 0.9], [], 0.9, "0.9", ["0.9", "0.9"], None, [0.9, None]):
        yield {"betas": betas}, tensors
    for name in ("eps", "weight_decay"):
        for value in (-1e-8, -1, "0", None, [1, 2], True):
            yield {name: value}, tensors
    for name in ("maximize", "decoupled_weight_decay"):
        for value in ("yes", 1, None):
            yield {name: value}, tensors
    yield {"weight_decay": -0.1, "decoupled_weight_decay": True}, tensors


def clip_grad_norm_bad_inputs():
    tensors = {"grad": ramp(2, 3)}
    for max_norm in (-1, -1e-6, "1", "nan", None, [1.0], True):
        yield {"max_norm": max_norm}, tensors
    yield {}, tensors
    yield {"max_norm": 1}, {}
    yield {"max_norm": 1}, {"grad": ramp(2, 3).long()}


def zero_bad_inputs():
    yield {}, {}
    yield {}, {"input": ramp(2, 3).long()}


def dropout_bad_inputs():
    tensors = {"input": ramp(2, 3), "generator": generator(7)}
    for p in (-0.1, 1.1, -1e-9, 1.0000001, 2, "0.5", "nan", None, [0.5], True):
        yield {"p": p}, tensors
    yield {"p": -0.1, "training": False}, tensors
    for training in (1, 0, "yes", None):
        yield {"training": training}, tensors
    for of in ((), (0,), (3,), (5,), (2, 2), (1, 4), (4, 1)):
        yield {}, {**tensors, "generator": torch.ones(of).long()}
    yield {"training": False}, {**tensors, "generator": torch.ones(2).long()}
    yield {}, {**tensors, "generator": torch.ones(4)}
    yield {}, without(tensors, "generator")
    yield {}, without(tensors, "input")
    yield {}, {**tensors, "input": ramp(2, 3).long()}


# ------------------------------------------------------------------------------------------------- checks


def check(op):
    """Counts the cases by their source, and special values by argument; reads them back."""
    folder = make.HERE / NAME / op
    arrays = load_file(folder / "tensors.safetensors")
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    assert len({case["id"] for case in cases}) == len(cases)
    assert {name for case in cases for name in make.names_of(case)} == set(arrays)
    counts, kinds = collections.Counter(), collections.defaultdict(collections.Counter)
    for case in cases:
        source, is_backward = case["id"].split("/")[0], "grad_output" in case["inputs"] and not case.get("error")
        counts[source + (" backward" if is_backward else "")] += 1
        inputs = {name: arrays[of] for name, of in case["inputs"].items()}
        if not case.get("error"):
            got = OPERATORS[op](case["params"], inputs, torch.float32)
            assert set(got) == set(case["outputs"]), case["id"]
            for name, spec in case["outputs"].items():
                expected = arrays[spec["tensor"]]
                assert expected.shape == got[name].shape, (case["id"], name)
                is_near = (got[name].double() - expected.double()).abs() <= spec.get("atol", 0) * (1 + 1e-9)
                assert (is_near | (got[name] == expected) | got[name].isnan() & expected.isnan()).all(), (case["id"], name)
        if source == "special":
            for name, t in inputs.items():
                if t.is_floating_point() and name not in SCALARS:
                    of = kinds[name, is_backward]
                    of.update(infinite=int(t.isinf().any()), nan=int(t.isnan().any()), huge=int((t.isfinite() & (t.abs() > 1e38)).any()))
    print(op, dict(counts), {f"{name}{' backward' if backward else ''}": dict(of) for (name, backward), of in kinds.items()})
    for (name, is_backward), of in kinds.items():
        assert all(of[kind] >= 2 for kind in ("infinite", "nan", "huge")[:2 if is_backward else 3]), (op, name, of)


if __name__ == "__main__":
    torch.set_num_threads(1)
    check_philox()
    check_noised()
    (make.HERE / NAME).mkdir(exist_ok=True)
    lines = []
    for op in OPERATORS:
        torch.manual_seed(zlib.crc32(f"training {op}".encode()))
        rng.seed(f"training {op}")
        special.rng.seed(f"training {op}")
        folder = Cases(f"{NAME}/{op}")
        add_random(folder, op)
        lines += add_corners(folder, op)
        add_random(folder, op, "special", SPECIAL)
        if op == "dropout":
            add_random(folder, op, "random", BACKWARD, backward=True)
            add_random(folder, op, "special", SPECIAL_BACKWARD, backward=True)
        for index, (params, tensors) in enumerate(globals()[f"{op}_bad_inputs"]()):
            folder.add_error(f"bad_input/{op}/{index}", op, params, tensors)
        folder.save()
        check(op)
    table = ["| case | corner | parameters | what PyTorch gives |", "|---|---|---|---|", *lines]
    (make.HERE / NAME / "CORNERS.md").write_text(TEXT + "\n" + "\n".join(table) + "\n")
