"""Makes the golden gradients beside this script, in gradients/, with PyTorch; make.py tells what it needs.

    venv/bin/python tests/golden/gradients.py

A case is a call of a forward operator with `grad_output`: what comes out is `output`, and the gradient of each input that the
case wants as `grad_NAME`. Ids begin with where a call is from: opinfo (PyTorch's own tests), torchvision (its tests of
roi_pool), random (parameters drawn at random, and which gradients are wanted), corner (what is not obvious), special
(infinities and NaN in every argument) and long (sums of 40,000 or 100,000 products). Inputs are float32. Expected values are
those of PyTorch's autograd in float64, rounded to float32 once.

A gradient's bound `atol` is 4 times the error of PyTorch's own float32, but at least the rounding of what the gradient is
computed from: 2^-22 of the largest sum of magnitudes where numbers or products are added up and nothing else happens, twice
that where there is a division or a function of a number. What is copied gets 0, and so do sums of whole numbers. Outputs have
make.py's bounds.
"""

import collections
import json
import math
import random
import warnings
import zlib

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch.testing._internal.common_methods_invocations import op_db
from torchvision.ops._utils import convert_boxes_to_roi_format

import make
import networks
import sources
import special
from networks import numbers, ramp, row

inf, nan = math.inf, math.nan
rng = random.Random("gradients")

NAME = "gradients"
VALUES = special.SPECIAL[:4]
# Twice as many of these.
MANY_ARGUMENTS = special.MANY_ARGUMENTS | {"binary_cross_entropy_with_logits"}
# What is expected in all of an operator, and the most of one source of samples.
CASES = 200
FEWER_CASES = 60
SPECIAL_CASES = 24
SAMPLES = 30
MOST_IN_SAMPLE = 900
MOST_SPECIAL = 600
# A random case says nothing where a bound is more than this of the largest element, as where all terms cancel.
MOST_BOUND = 1e-3

MANY_CASES = ["max_pool2d", "avg_pool2d", "conv2d", "conv_transpose2d", "roi_pool", "batch_norm", "cross_entropy"]
LOSSES = ["nll_loss", "binary_cross_entropy_with_logits", "smooth_l1_loss"]
OPERATORS = [*MANY_CASES, "flatten", "sigmoid", "mse_loss", "relu", *networks.OPERATORS, *LOSSES]

# The losses that sources has not.
sources.SIGNATURES |= {name: sources.inspect.signature(getattr(F, name)) for name in LOSSES}
sources.TENSORS.add("pos_weight")

# Gradients that are elements of grad_output, or sums of some.
MOVES = {"max_pool2d", "roi_pool", "flatten", "relu", "relu6", "pad", "cat", "permute"}
# Gradients that are sums of products.
PRODUCTS = {"conv2d", "conv_transpose2d", "linear"}
# Gradients that are proportional to grad_output, by factors that are all of one sign.
PROPORTIONAL = MOVES | {"add", "avg_pool2d", "adaptive_avg_pool2d", "interpolate", "leaky_relu", "prelu"}
SUMS = MOVES | PRODUCTS | {"add", "prelu"}
# Of NaN PyTorch's vector code gives 0 or NaN; its scalar code, CUDA's and ours give grad_output.
OF_SCALARS = {"relu6", "hardswish"}
# What has gradients with respect to its weight, and its target.
WITH_WEIGHT = {"conv2d", "conv_transpose2d", "linear", "prelu", "batch_norm"}
WITH_TARGET = {"mse_loss", "smooth_l1_loss", "cross_entropy", "binary_cross_entropy_with_logits"}


def is_nearest(op, params):
    return op == "interpolate" and params.get("mode", "nearest").startswith("nearest")


# ------------------------------------------------------------------------------------------------- what PyTorch gives


def roi_pool(params, input, boxes):
    """In float64: bins and their maxima are what float32 makes them."""
    boxes = convert_boxes_to_roi_format(boxes) if isinstance(boxes, list) else boxes
    size = params["output_size"]
    size = size if isinstance(size, (list, tuple)) else [size, size]
    output, argmax = torch.ops.torchvision.roi_pool(input.detach().float(), boxes.float(), params.get("spatial_scale", 1.0), *size)
    images = input.flatten(2)[boxes[:, 0].long()]
    if not output.numel():
        return output.to(input.dtype) + images.sum() * 0
    maxima = images.gather(2, argmax.long().clamp(min=0).flatten(2)).reshape(output.shape)
    return torch.where(argmax < 0, output.to(input.dtype), maxima)


def nearest(params, input):
    """In float64: indices are what float32 makes them."""
    rows, columns = input.shape[2:]
    index = F.interpolate(numbers(1, 1, rows, columns), **params)[0, 0].long()
    return input.flatten(2)[:, :, index]


def call(op, params, kind):
    if op == "roi_pool":
        if kind == torch.float32:
            return lambda input, boxes: {"output": torchvision.ops.roi_pool(input, boxes, params["output_size"], params.get("spatial_scale", 1.0))}
        return lambda input, boxes: {"output": roi_pool(params, input, boxes)}
    if is_nearest(op, params) and kind == torch.float64:
        return lambda input: {"output": nearest(params, input)}
    return sources.call(op, params)


def of_kind(value, kind):
    """A copy, floats of this kind."""
    if isinstance(value, list):
        return [of_kind(item, kind) for item in value]
    value = value.detach().clone()
    return value.to(kind) if value.is_floating_point() else value


def named(tensors, name):
    """`weight`, or `tensors.3` in a list."""
    name, _, index = name.partition(".")
    return tensors[name][int(index)] if index else tensors[name]


def forward(op, params, tensors):
    return call(op, params, torch.float32)(**of_kind_all(tensors, torch.float32))


def of_kind_all(tensors, kind):
    return {name: of_kind(value, kind) for name, value in tensors.items()}


def backward(op, params, tensors, grad_output, wanted, kind):
    """All outputs, and the gradients that are wanted."""
    if op in OF_SCALARS and tensors["input"].numel() > 1 and tensors["input"].isnan().any():
        pairs = zip(tensors["input"].flatten(), grad_output.flatten())
        parts = [backward(op, params, {"input": x}, grad, wanted, kind) for x, grad in pairs]
        return {name: torch.stack([part[name] for part in parts]).reshape(grad_output.shape) for name in parts[0]}
    tensors = of_kind_all(tensors, kind)
    leaves = [named(tensors, name).requires_grad_() for name in wanted]
    outputs = call(op, params, kind)(**tensors)
    grads = torch.autograd.grad(outputs["output"], leaves, grad_output.to(kind))
    outputs |= {f"grad_{name}": grad for name, grad in zip(wanted, grads)}
    return {name: output.detach() for name, output in outputs.items()}


def differentiable(op, tensors):
    """The inputs that have a gradient."""
    names = ["input", "other", "bias"]
    names += ["weight"] * (op in WITH_WEIGHT) + ["target"] * (op in WITH_TARGET and tensors["target"].is_floating_point())
    names = [name for name in tensors if name in names]
    return names + [f"tensors.{i}" for i in range(len(tensors.get("tensors", [])))]


# ------------------------------------------------------------------------------------------------- bounds


def count_of(params, shape):
    """What a mean divides by."""
    return max(math.prod(shape), 1) if params.get("reduction", "mean") == "mean" else 1


def of_activation(op, params, x):
    """The magnitudes that the derivative is computed from; a quarter stands for a rounding of a function's value of 1."""
    if op == "sigmoid":
        y = torch.sigmoid(x)
        return y * (1 - y) + y / 4
    if op == "tanh":
        y = torch.tanh(x).square()
        return 1 - y + y / 4
    if op == "silu":
        y = torch.sigmoid(x)
        # Above, the sigmoid is 1.
        return y * (1 + x.abs() * (1 - y)) + y * x.abs().clamp(max=20) / 8
    if op == "hardswish":
        return x.abs().clamp(max=3) / 3 + 0.5
    assert op == "gelu"
    if params.get("approximate") == "tanh":
        tanh = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).square()
        inner = x.abs() / 2 * math.sqrt(2 / math.pi) * (1 + 0.134145 * x.square())
        # Above, the hyperbolic tangent is 1.
        return 1 + inner * (1 - tanh) + torch.where(x.abs() < 5.5, inner / 4, 0)
    return 0.25 + torch.special.ndtr(x) + x.abs() * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


def of_cross_entropy(params, tensors, grad):
    """Of input and target, in turn."""
    input, target = tensors["input"], tensors["target"]
    classes = 0 if input.dim() == 1 else 1
    count = input.shape[classes]
    shape = [-1 if i == classes else 1 for i in range(input.dim())]
    weight = tensors.get("weight", torch.ones(count, dtype=input.dtype)).reshape(shape)
    smoothing = params.get("label_smoothing", 0.0)
    mean = params.get("reduction", "mean") == "mean"
    rows = max(input.numel() // count, 1)
    if target.is_floating_point():
        hot, counts, divisor = target.abs(), 1.0, rows
    else:
        counts = (target != params.get("ignore_index", -100)).unsqueeze(classes)
        hot = (numbers(count).reshape(shape) == target.unsqueeze(classes)) * counts
        divisor = (hot * weight).sum()
    factor = counts * grad.abs().unsqueeze(classes) if grad.dim() else counts * grad.abs()
    factor = factor / divisor if mean else factor
    shares = weight * (hot * (1 - smoothing) + smoothing / count) * factor
    logs = torch.log_softmax(input, classes)
    return shares + logs.exp() * shares.sum(classes, keepdim=True), (1 - smoothing) * weight * factor * (1 + logs.abs())


def of_batch_norm(params, tensors, grad):
    input, eps = tensors["input"], params.get("eps", 1e-5)
    if not input.numel():
        return dict.fromkeys(["input", "weight", "bias"], torch.zeros(0))
    others = [i for i in range(input.dim()) if i != 1]
    shape = [-1 if i == 1 else 1 for i in range(input.dim())]
    if params.get("training"):
        mean, var = input.mean(others), input.var(others, unbiased=False)
    else:
        mean, var = tensors["running_mean"], tensors["running_var"]
    mean, invstd = mean.reshape(shape), (var.reshape(shape) + eps).rsqrt()
    normal = (input - mean).abs() * invstd
    # An eighth of an input's size: its rounding shows in its distance from the mean.
    rounding = torch.maximum(input.abs(), mean.abs()) * invstd / 8
    weight = tensors["weight"].abs().reshape(shape) if "weight" in tensors else 1.0
    size = grad.abs()
    if params.get("training"):
        spread = (size * (normal + rounding)).mean(others, keepdim=True)
        of_input = weight * invstd * (size + size.mean(others, keepdim=True) + (normal + rounding) * spread)
    else:
        of_input = weight * invstd * size
    # What is rounded alike changes the sums less than their terms: a half, and a quarter where nothing else is rounded.
    return {"input": of_input, "weight": (size * (normal + rounding)).sum(others) / 2, "bias": size.sum(others) / 4}


def of_loss(op, params, tensors, grad):
    """Of one loss between two numbers: for each input the magnitudes that its gradient adds up."""
    input, target = tensors["input"], tensors["target"]
    common = torch.broadcast_shapes(input.shape, target.shape)
    factor = grad.abs() / count_of(params, common)
    if op == "mse_loss":
        terms = {"input": 2 * (input - target).abs()}
    elif op == "smooth_l1_loss":
        distance, beta = (input - target).abs(), params.get("beta", 1.0)
        terms = {"input": torch.where(distance < beta, distance / beta if beta else 0, 1.0)}
    else:
        weight = tensors.get("weight", torch.ones(())).abs()
        positive = tensors.get("pos_weight", torch.ones(()))
        share = positive * target
        terms = {"input": weight * ((share.abs() + (1 - target).abs()) * torch.sigmoid(input) + share.abs()),
                 "target": weight * (positive.abs() * F.logsigmoid(input).abs() + F.logsigmoid(-input).abs())}
    terms.setdefault("target", terms["input"])
    return {name: (term * factor).expand(common).sum_to_size(tensors[name].shape) for name, term in terms.items()}


def magnitudes(op, params, tensors, grad, wanted):
    """For each gradient the largest sum of magnitudes behind an element."""
    tensors = of_kind_all(tensors, torch.float64)
    if op not in ("max_pool2d", "roi_pool", "relu", "relu6", "leaky_relu", "prelu", "cat", "pad"):
        tensors = {name: t.nan_to_num(0, 0, 0) for name, t in tensors.items()}
    grad = grad.double().nan_to_num(0, 0, 0)
    if op in PROPORTIONAL | PRODUCTS:
        if op in PRODUCTS:
            tensors = {name: t.abs() for name, t in tensors.items()}
        grads = backward(op, params, tensors, grad.abs(), wanted, torch.float64)
        terms = {name: grads[f"grad_{name}"].abs() for name in wanted}
    elif op in ("softmax", "log_softmax"):
        y = torch.softmax(tensors["input"], params["dim"])
        sizes = (grad * y).abs() if op == "softmax" else grad.abs()
        sums = y * sizes.sum(params["dim"], keepdim=True) if y.dim() else y * sizes
        terms = {"input": sizes + sums}
    elif op == "nll_loss":
        # One product.
        terms = {"input": torch.zeros(0)}
    elif op == "cross_entropy":
        terms = dict(zip(["input", "target"], of_cross_entropy(params, tensors, grad)))
    elif op == "batch_norm":
        terms = of_batch_norm(params, tensors, grad)
    elif op in ("mse_loss", *LOSSES):
        terms = of_loss(op, params, tensors, grad)
    else:
        terms = {"input": grad.abs() * of_activation(op, params, tensors["input"])}
    largest = lambda t: t.nan_to_num(0, 0, 0).max().item() if t.numel() else 0.0
    return {f"grad_{name}": largest(terms[name]) for name in wanted}


def is_whole(value):
    """Whether all floats are whole numbers."""
    if isinstance(value, list):
        return all(map(is_whole, value))
    return bool((value == value.round()).all())


def is_exact(op, params, tensors, grad, wanted):
    """The gradients that are copies or sums of whole numbers."""
    moves = op in MOVES or is_nearest(op, params) or op == "add" and params.get("alpha", 1) == 1
    products = op in PRODUCTS or op == "add" and is_whole(torch.tensor(params.get("alpha", 1.0)))
    if moves and is_whole(grad) or products and is_whole([grad, *tensors.values()]):
        return {f"grad_{name}" for name in wanted}
    if not moves:
        return set()
    # How many elements each gradient adds up: none may be more than one.
    counts = magnitudes(op, params, tensors, torch.ones(grad.shape), wanted)
    return {name for name, count in counts.items() if count <= 1}


def scale_of_output(op, params, tensors):
    """As in make.py, where it has one; the others' magnitudes of what is added up."""
    if not all(t.numel() for value in tensors.values() for t in (value if isinstance(value, list) else [value])):
        return None
    if op in PRODUCTS - {"linear"} | {"avg_pool2d"}:
        finite = {name: t.nan_to_num(0, 0, 0) for name, t in tensors.items()}
        return make.magnitudes(sources.call(op, {**params} if params.get("divisor_override", 1) > 0 else {**params, "divisor_override": -params["divisor_override"]}), finite)()
    if op == "cross_entropy":
        return make.cross_entropy_scale(params, {**tensors, "input": tensors["input"].nan_to_num(0, 0, 0)})()
    if op in networks.OPERATORS:
        return networks.scale(op, params, tensors)
    if op == "nll_loss":
        sizes = {**tensors, "input": tensors["input"].nan_to_num(0, 0, 0).abs()}
        return sources.call(op, params)(**sizes)["output"].abs().nan_to_num(0, 0, 0).max().item()
    if op == "binary_cross_entropy_with_logits":
        # The logarithm of a sum between 1 and 2 beside products.
        x, t = tensors["input"].nan_to_num(0, 0, 0).double(), tensors["target"].double()
        weights = tensors.get("weight", torch.ones(())).abs() * (1 + (tensors.get("pos_weight", torch.ones(())) - 1).abs() * t.abs())
        terms = weights * (x.abs() * (1 + t.abs()) + 1)
        return {"none": terms.max(), "mean": terms.mean(), "sum": terms.sum()}[params.get("reduction", "mean")].item()
    return None


def kinds(array):
    """Which elements are NaN, infinite or finite in float32."""
    array = array.float()
    return array.nan_to_num(2.0, 1.0, -1.0).where(~array.isfinite(), torch.zeros(()))


class Cases(make.Folder):
    """Cases with gradients."""

    def __init__(self):
        super().__init__(NAME)

    def count(self, op):
        return sum(case["op"] == op for case in self.cases)

    def add_gradients(self, case_id, op, params, tensors, grad_output, wanted, as_shown=None, most_bound=inf):
        """Adds a case, or returns why it is none: what is nearly all zeros would hide an operator that does nothing."""
        runs = [backward(op, params, tensors, grad_output, wanted, kind) for kind in (torch.float32, torch.float64)]
        if any(make.is_nearly_zero(o) for o in runs[1].values()):
            return "nearly all zeros"
        outputs32, outputs64 = ({name: o for name, o in run.items() if not name.startswith("grad_")} for run in runs)
        sizes = magnitudes(op, params, tensors, grad_output, wanted)
        copied = is_exact(op, params, tensors, grad_output, wanted)
        specs = {}
        for name in map("grad_{}".format, wanted):
            got, expected = runs[0][name].double(), runs[1][name]
            # PyTorch's float32 and float64 take the same branch everywhere.
            assert torch.equal(kinds(got), kinds(expected)), (case_id, name, got, expected)
            finite = expected.float().isfinite()
            error, largest = (got - expected)[finite], expected[finite].abs()
            largest = largest.max().item() if largest.numel() else 0.0
            worst = error.abs().max().item() if error.numel() else 0.0
            size = max(largest, sizes[name])
            assert worst <= (0 if name in copied else 1e-3 * size + 1e-30), (case_id, name, worst, size)
            # A GPU may take 0 for what is no normal number.
            least = max(size * (2.0**-22 if op in SUMS or is_nearest(op, params) else 2.0**-21), 2.0**-126)
            atol = 0.0 if name in copied else max(4 * worst, least)
            if largest and atol > most_bound * largest:
                return "a bound that says nothing"
            specs[name] = {"atol": atol, "rmse_float32": error.square().mean().sqrt().item() if error.numel() else 0.0}
        exact = op in ("max_pool2d", "roi_pool", "flatten", "relu") or networks.is_exact(op, params)
        exact = exact or op in PRODUCTS and is_whole(list(tensors.values()))
        inputs = {**tensors, "grad_output": grad_output}
        self.add(case_id, op, as_shown or params, inputs, outputs32, outputs64, scale_of_output(op, params, tensors), exact)
        for name, spec in specs.items():
            self.cases[-1]["outputs"][name] = {"tensor": self.put(f"{case_id}/{name}", runs[1][name]), **spec}
        return None


# ------------------------------------------------------------------------------------------------- what others have tested


def add_opinfo(folder, op):
    """Samples of PyTorch's OpInfo, evenly taken."""
    seed(f"opinfo {op}")
    calls = []
    for info in op_db:
        # Interpolation's and padding's variants are their modes.
        if info.name.removeprefix("nn.functional.") != op or op == "batch_norm" and info.variant_test_name:
            continue
        for sample in info.sample_inputs("cpu", torch.float32, requires_grad=True):
            try:
                tensors, params = sources.bind(op, [sample.input, *sample.args], sample.kwargs)
            except TypeError:
                continue
            flat = [t for value in tensors.values() for t in (value if isinstance(value, (list, tuple)) else [value])]
            if sum(t.numel() for t in flat) <= MOST_IN_SAMPLE and all(t.dtype in (torch.float32, torch.int64) for t in flat) and networks.is_ours(op, params, tensors):
                params.pop("return_indices", None)
                tensors = {name: [*value] if isinstance(value, tuple) else value for name, value in tensors.items()}
                calls.append((params, of_kind_all(tensors, torch.float32)))
    step = max(len(calls) / SAMPLES, 1)
    for index, at in enumerate(range(min(len(calls), SAMPLES))):
        params, tensors = calls[int(at * step)]
        output = forward(op, params, tensors)["output"]
        if is_taken(op, params, tensors, output, MOST_IN_SAMPLE):
            folder.add_gradients(f"opinfo/{op}/{index}", op, params, tensors, torch.randn(output.shape), differentiable(op, tensors))


def add_torchvision(folder):
    seed("torchvision")
    for index, (params, input, boxes) in enumerate(sources.roi_pool_tests()):
        if input.numel() <= MOST_IN_SAMPLE:
            tensors = {"input": input, "boxes": boxes}
            output = forward("roi_pool", params, tensors)["output"]
            folder.add_gradients(f"torchvision/roi_pool/{index}", "roi_pool", params, tensors, torch.randn(output.shape), ["input"])


# ------------------------------------------------------------------------------------------------- random cases


def nll_loss(exact):
    classes = rng.choice([1, 2, 3, 5, 10, 32, 33])
    shape = [classes]
    if rng.random() < 0.85:
        shape = [rng.choice([1, 2, 3, 5, 8, 17]) if rng.random() < 0.95 else 0, classes]
        shape += [rng.choice([1, 2, 3, 5]) for _ in range(rng.choice([0, 0, 1, 2, 3]))]
    rows = [] if len(shape) == 1 else [shape[0], *shape[2:]]
    params = {"reduction": rng.choice(["none", "mean", "sum"])} if rng.random() < 0.75 else {}
    target = torch.randint(0, classes, rows)
    if rng.random() < 0.4:
        params["ignore_index"] = rng.choice([-100, 0, classes - 1, classes + 3, -1])
        target = torch.where(torch.rand(rows) < 0.3, torch.tensor(params["ignore_index"]), target)
    input = torch.randn(shape) * rng.choice([1, 5])
    if rng.random() < 0.7:
        input = torch.log_softmax(input, 0 if len(shape) == 1 else 1)
    weight = torch.rand(classes) + 0.05 if rng.random() < 0.5 else None
    return params, {"input": input, "target": target, "weight": weight}


def binary_cross_entropy_with_logits(exact):
    shape = [rng.choice([1, 2, 3, 7, 8, 31]) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.05:
        shape = [0, 3]
    smaller = lambda: [1 if rng.random() < 0.3 else n for n in shape][rng.randint(0, len(shape)):] if rng.random() < 0.7 else shape
    target = torch.rand(shape)
    if rng.random() < 0.5:
        target = target.round()
    params = {"reduction": rng.choice(["none", "mean", "sum"])} if rng.random() < 0.75 else {}
    return params, {"input": torch.randn(shape) * rng.choice([1, 1, 5, 30]), "target": target,
                    "weight": torch.rand(smaller()) * 2 if rng.random() < 0.4 else None,
                    "pos_weight": torch.rand(smaller()) * 3 + 0.1 if rng.random() < 0.5 else None}


def smooth_l1_loss(exact):
    params, tensors = make.make_mse_loss(exact)[:2]
    if rng.random() < 0.7:
        params["beta"] = rng.choice([0, 0.0, 0.1, 0.5, 1.0, 2, 3.0, 1 / 3])
    return params, tensors


def batch_norm(exact):
    while True:
        params, tensors = make.make_batch_norm(exact)[:2]
        input = tensors["input"]
        # Where the mean is far beyond the spread, the input's own rounding is most of what is left.
        if params.get("training") and input.numel() and input[:, 0].numel() > 1:
            others = [i for i in range(input.dim()) if i != 1]
            if (input.mean(others).abs() > 40 * input.std(others)).any():
                continue
        return params, tensors


DRAWS = {f.__name__: f for f in [nll_loss, binary_cross_entropy_with_logits, smooth_l1_loss, batch_norm]}


def draw_call(op, exact):
    if op in DRAWS:
        return DRAWS[op](exact)
    drawn = (networks.maker(op) if op in networks.OPERATORS else getattr(make, f"make_{op}"))(exact)
    return drawn and drawn[:2]


def elements(tensors):
    return sum(elements(dict(enumerate(t))) if isinstance(t, list) else t.numel() for t in tensors.values())


def is_taken(op, params, tensors, output, most):
    """Whether the call's gradient is defined, and the call ours and small."""
    if elements(tensors) + output.numel() > most:
        return False
    if op == "max_pool2d":
        # A window wholly in the padding has an index beside the input, where PyTorch writes its gradient to.
        reached = F.max_pool2d(torch.zeros(tensors["input"].shape[-3:]), **params)
        return not reached.isinf().any()
    if op != "conv_transpose2d":
        return True
    # As in make.py: some outputs of PyTorch's have no rows or columns, and with an empty batch it leaves out checks.
    if 0 in output.shape[-2:]:
        return False
    if tensors["input"].shape[0] == 0:
        try:
            forward(op, params, {**tensors, "input": torch.zeros(1, *tensors["input"].shape[1:])})
        except RuntimeError:
            return False
    return True


def add_random(folder, op, count):
    seed(op)
    made = 0
    while made < count:
        exact = rng.random() < 0.3
        # Few large ones: all are to be small together.
        most = rng.choice([150, 300, 500, 800, 1200, 2500])
        drawn = draw_call(op, exact)
        if drawn is None:
            continue
        params, tensors = drawn
        params.pop("return_indices", None)
        tensors = {name: value for name, value in tensors.items() if value is not None}
        if elements(tensors) > most or not elements(tensors) and rng.random() < 0.7:
            continue
        try:
            output = forward(op, params, tensors)["output"]
        except (RuntimeError, ValueError):
            continue
        if not is_taken(op, params, tensors, output, most):
            continue
        # Usually all gradients, now and then one or some.
        names = differentiable(op, tensors)
        wanted = [name for name in names if rng.random() < 0.6] if rng.random() < 0.35 else names
        wanted = wanted or [rng.choice(names)]
        grad_output = torch.randint(-8, 9, output.shape).float() if exact else torch.randn(output.shape)
        if folder.add_gradients(f"random/{op}/{made}", op, params, tensors, grad_output, wanted, make.shown(params), MOST_BOUND) is None:
            made += 1


def seed(name):
    for module_rng in (rng, make.rng, networks.rng):
        module_rng.seed(f"{NAME} {name}")
    torch.manual_seed(zlib.crc32(f"{NAME} {name}".encode()))


# ------------------------------------------------------------------------------------------------- special values


def add_special(folder, op):
    """Infinities and NaN in each argument in turn. What PyTorch's float32 and float64 do not make alike of them is no case."""
    seed(f"special {op}")
    special.rng.seed(f"{NAME} {op}")
    drawn = special.draw(special.OPERATORS.get(op) or (lambda: draw_loss(op)))
    made = turn = 0
    while made < SPECIAL_CASES * (1 + (op in MANY_ARGUMENTS)):
        params, tensors = next(drawn)
        params.pop("return_indices", None)
        if not 0 < elements(tensors) <= MOST_SPECIAL:
            continue
        try:
            output = forward(op, params, tensors)["output"]
        except (RuntimeError, ValueError):
            continue
        if not output.numel() or not is_taken(op, params, tensors, output, MOST_SPECIAL):
            continue
        grad_output = torch.randn(output.shape)
        turn += 1
        if turn % 2:
            grad_output = special.spoil(grad_output, VALUES)
        wanted = differentiable(op, tensors)
        if not are_alike(op, params, tensors, grad_output, wanted):
            continue
        if folder.add_gradients(f"special/{op}/{made}", op, params, tensors, grad_output, wanted, make.shown(params)) is None:
            made += 1


def draw_loss(op):
    while True:
        params, tensors = DRAWS[op](False)
        tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        if all(tensor.numel() for tensor in tensors.values()):
            return params, tensors


def are_alike(op, params, tensors, grad_output, wanted):
    runs = [backward(op, params, tensors, grad_output, wanted, kind) for kind in (torch.float32, torch.float64)]
    same_kinds = all(torch.equal(kinds(runs[0][name]), kinds(runs[1][name])) for name in runs[0])
    return same_kinds and all(torch.allclose(runs[0][name].double(), runs[1][name], 1e-3, 1e-3, equal_nan=True) for name in runs[0])


# ------------------------------------------------------------------------------------------------- long sums


def add_long(folder):
    """Sums of many products: what float32 makes of them depends on the order."""
    seed("long")
    input, grad_output = torch.randn(1, 1, 250, 401), torch.randn(1, 1, 250, 401)
    weight = torch.randn(1, 1, 3, 3)
    folder.add_gradients("long/conv2d/0", "conv2d", {"padding": "same"}, {"input": input, "weight": weight, "bias": row(0.5)}, grad_output, ["weight", "bias"])
    tensors = {"input": input, "weight": row(1.5), "bias": row(-0.5)}
    folder.add_gradients("long/batch_norm/0", "batch_norm", {"training": True}, tensors, grad_output, ["weight", "bias"])
    input, grad_output = torch.randn(40_000, 2), torch.randn(40_000, 3)
    folder.add_gradients("long/linear/0", "linear", {}, {"input": input, "weight": torch.randn(3, 2), "bias": row(1, 2, 3)}, grad_output, ["weight", "bias"])


# ------------------------------------------------------------------------------------------------- corners


def image(rows):
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def classes(*values):
    return torch.tensor(values)


def corners():
    """(operator, name, parameters, tensors), and where they matter grad_output and the gradients that are wanted."""
    yield from corners_of_pools()
    yield from corners_of_convolutions()
    yield from corners_of_roi_pool()
    yield from corners_of_batch_norm()
    yield from corners_of_losses()
    yield from corners_of_elements()
    yield from corners_of_the_rest()


def corners_of_pools():
    square = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    two = {"kernel_size": 2}
    overlapping = {"kernel_size": 2, "stride": 1}
    for name, values in [
        ("ties", [[5, 5], [5, 5]]),
        ("zeros_of_both_signs", [[-0.0, 0.0], [0.0, -0.0]]),
        ("nan", [[1, nan], [3, 2]]),
        ("last_nan", [[nan, 1], [2, nan]]),
        ("nan_with_its_sign_set", [[1, -nan], [3, 2]]),
        ("nan_beside_infinity", [[inf, nan], [-inf, 0]]),
        ("infinity", [[1, inf], [-inf, 2]]),
        ("all_infinite_below_zero", [[-inf, -inf], [-inf, -inf]]),
    ]:
        yield "max_pool2d", name, two, {"input": image(values)}
    yield "max_pool2d", "ties_in_overlapping_windows", overlapping, {"input": torch.ones(1, 1, 3, 4)}
    yield "max_pool2d", "one_maximum_of_overlapping_windows", {"kernel_size": 3, "stride": 1}, {"input": image([[0, 1, 0, 1], [1, 9, 8, 0], [0, 7, 6, 1], [1, 0, 1, 0]])}
    yield "max_pool2d", "nan_in_overlapping_windows", overlapping, {"input": image([[1, nan, 3], [nan, 2, 0], [1, 1, 1]])}
    yield "max_pool2d", "all_infinite_below_zero_in_overlapping_windows", overlapping, {"input": torch.full((1, 1, 3, 3), -inf)}
    yield "max_pool2d", "padding_is_not_chosen", {"kernel_size": 3, "stride": 1, "padding": 1}, {"input": image([[-inf, -inf], [-inf, -inf]])}
    yield "max_pool2d", "negative_values_beside_padding", {"kernel_size": 3, "padding": 1, "stride": 1}, {"input": -square}
    yield "max_pool2d", "overlapping_windows", {"kernel_size": 3, "stride": 2, "padding": 1}, {"input": ramp(2, 1, 5, 6) % 1.3}
    yield "max_pool2d", "ceil_mode", {"kernel_size": 2, "ceil_mode": True}, {"input": square}
    yield "max_pool2d", "ceil_mode_beside_padding", {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True}, {"input": square}
    yield "max_pool2d", "ceil_mode_with_a_kernel_beyond_the_input", {"kernel_size": 4, "stride": 3, "ceil_mode": True}, {"input": square}
    yield "max_pool2d", "stride_beyond_the_kernel", {"kernel_size": [1, 2], "stride": 3}, {"input": ramp(1, 2, 7, 8) % 1.1}
    yield "max_pool2d", "dilation", {"kernel_size": 2, "dilation": 2, "stride": 1}, {"input": ramp(1, 1, 4, 5) % 0.9}
    yield "max_pool2d", "one_window", {"kernel_size": [4, 5]}, {"input": ramp(2, 2, 4, 5)[:, :, :2, :2].repeat(1, 1, 2, 3)[..., :5]}
    yield "max_pool2d", "kernel_of_one", {"kernel_size": 1}, {"input": square}
    yield "max_pool2d", "batch_of_0", two, {"input": torch.zeros(0, 2, 4, 4)}
    yield "max_pool2d", "no_batch", two, {"input": ramp(2, 4, 4)}
    yield "max_pool2d", "nan_and_infinity_in_grad_output", two, {"input": ramp(1, 1, 2, 6)}, row(nan, inf, 2).reshape(1, 1, 1, 3)
    yield "max_pool2d", "infinities_meet_in_one_element", overlapping, {"input": image([[1, 2, 1], [1, 9, 1]])}, row(inf, -inf).reshape(1, 1, 1, 2)

    for include in (True, False):
        for ceil in (True, False):
            for override in (None, 3, -2):
                params = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": ceil, "count_include_pad": include}
                name = f"divisor_{'ceil' if ceil else 'floor'}_{'with' if include else 'without'}_padding"
                if override:
                    params["divisor_override"] = override
                    name += f"_override_{override}"
                yield "avg_pool2d", name, params, {"input": ramp(1, 1, 4, 6)}
    yield "avg_pool2d", "overlapping_windows", {"kernel_size": 3, "stride": 1}, {"input": ramp(1, 2, 4, 5)}
    yield "avg_pool2d", "stride_beyond_the_kernel", {"kernel_size": 2, "stride": [3, 4]}, {"input": ramp(1, 1, 5, 7)}
    yield "avg_pool2d", "rows_that_no_window_reaches", {"kernel_size": 2}, {"input": ramp(1, 1, 5, 3)}
    yield "avg_pool2d", "ceil_mode_with_a_kernel_beyond_the_input", {"kernel_size": 4, "stride": 3, "ceil_mode": True}, {"input": square}
    yield "avg_pool2d", "kernel_of_one", {"kernel_size": 1}, {"input": square}
    yield "avg_pool2d", "batch_of_0", two, {"input": torch.zeros(0, 2, 4, 4)}
    yield "avg_pool2d", "no_batch", two, {"input": ramp(2, 4, 4)}
    yield "avg_pool2d", "nan_and_infinities_in_the_input_do_nothing", overlapping, {"input": image([[nan, 1, inf], [3, -inf, 5]])}
    yield "avg_pool2d", "nan_and_infinities_in_grad_output", {"kernel_size": [1, 2], "stride": 1}, {"input": ramp(1, 1, 1, 7)}, row(1, nan, 2, inf, -inf, 3).reshape(1, 1, 1, 6)

    for size in (1, 2, [3, 2], [7, 1], [4, 6], [5, 9], [None, 2]):
        name = "_".join(map(str, size if isinstance(size, list) else [size]))
        yield "adaptive_avg_pool2d", f"size_{name}", {"output_size": size}, {"input": ramp(1, 2, 4, 6)}
    yield "adaptive_avg_pool2d", "overlapping_regions", {"output_size": [3, 4]}, {"input": ramp(1, 1, 5, 7)}
    yield "adaptive_avg_pool2d", "of_one_element", {"output_size": [2, 3]}, {"input": row(2.5)[None, None]}
    yield "adaptive_avg_pool2d", "batch_of_0", {"output_size": 2}, {"input": torch.zeros(0, 2, 3, 3)}
    yield "adaptive_avg_pool2d", "nan_in_grad_output", {"output_size": [1, 2]}, {"input": ramp(1, 1, 2, 5)}, row(nan, 3).reshape(1, 1, 1, 2)


def corners_of_convolutions():
    for kernel in ([2, 2], [3, 2], [4, 1], [1, 1], [2, 5]):
        for dilation in (1, 2):
            name = f"same_{kernel[0]}_{kernel[1]}_dilation_{dilation}"
            yield "conv2d", name, {"padding": "same", "dilation": dilation}, {"input": ramp(1, 1, 6, 7), "weight": ramp(1, 1, *kernel)}
    square = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    yield "conv2d", "valid", {"padding": "valid"}, {"input": square, "weight": ramp(2, 1, 2, 2), "bias": ramp(2)}
    yield "conv2d", "padding_beyond_the_kernel", {"padding": 3}, {"input": square, "weight": ramp(1, 1, 2, 2)}
    yield "conv2d", "stride_beyond_kernel_and_input", {"stride": 9}, {"input": image([[1, 2], [3, 4]]), "weight": ramp(1, 1, 2, 2)}
    yield "conv2d", "stride_beyond_the_kernel", {"stride": [2, 3]}, {"input": ramp(1, 2, 5, 7), "weight": ramp(1, 2, 1, 2)}
    yield "conv2d", "rows_that_no_window_reaches", {"stride": 2}, {"input": ramp(1, 1, 6, 4), "weight": ramp(1, 1, 3, 3)}
    yield "conv2d", "kernel_of_the_whole_input", {}, {"input": ramp(2, 2, 3, 4), "weight": ramp(3, 2, 3, 4), "bias": ramp(3)}
    yield "conv2d", "kernel_of_one", {}, {"input": ramp(2, 3, 2, 3), "weight": ramp(4, 3, 1, 1), "bias": ramp(4)}
    yield "conv2d", "depthwise", {"groups": 3, "padding": 1}, {"input": ramp(2, 3, 5, 5), "weight": ramp(3, 1, 3, 3)}
    yield "conv2d", "depthwise_with_two_outputs_a_channel", {"groups": 3, "padding": 1, "stride": 2}, {"input": ramp(2, 3, 5, 5), "weight": ramp(6, 1, 3, 3), "bias": ramp(6)}
    yield "conv2d", "groups", {"groups": 2, "dilation": [1, 2]}, {"input": ramp(1, 4, 4, 5), "weight": ramp(6, 2, 2, 2), "bias": ramp(6)}
    yield "conv2d", "dilation_with_stride_and_padding", {"dilation": 2, "stride": 2, "padding": [1, 2]}, {"input": ramp(1, 1, 6, 5), "weight": ramp(2, 1, 3, 2)}
    yield "conv2d", "a_window_that_reaches_one_element", {"padding": 2, "stride": 6}, {"input": square, "weight": ramp(1, 1, 3, 3)}
    yield "conv2d", "batch_of_0", {"padding": 1}, {"input": torch.zeros(0, 1, 5, 5), "weight": ramp(1, 1, 2, 3), "bias": ramp(1)}
    yield "conv2d", "no_batch", {}, {"input": ramp(2, 5, 5), "weight": ramp(3, 2, 3, 3), "bias": ramp(3)}
    bias = {"input": ramp(2, 1, 3, 3), "weight": ramp(2, 1, 2, 2), "bias": ramp(2)}
    for name in ("input", "weight", "bias"):
        yield "conv2d", f"of_the_{name}_alone", {"padding": 1}, bias, (numbers(2, 2, 4, 4) * 5 % 17 - 5.5) / 2, [name]
    yield "conv2d", "nan_in_the_input", {"stride": 2}, {"input": image([[nan, 1, 2, 3], [3, 4, 5, 6]]), "weight": ramp(1, 1, 2, 2)}
    yield "conv2d", "nan_in_the_weight", {}, {"input": square, "weight": image([[nan, 1], [1, 2]])}
    yield "conv2d", "infinity_in_the_weight", {}, {"input": square, "weight": image([[0.5, inf], [1, 2]])}, row(1, 2, 0, -1).reshape(1, 1, 2, 2)
    yield "conv2d", "nan_in_grad_output", {}, {"input": square, "weight": image([[1, 2]]), "bias": row(1)}, row(1, 2, nan, 4, 5, 6).reshape(1, 1, 3, 2)

    for index, (stride, dilation, output_padding) in enumerate([(2, 1, 1), (3, 1, 2), (1, 2, 1), ([1, 3], [4, 1], [3, 2]), (2, 3, 2)]):
        params = {"stride": stride, "dilation": dilation, "output_padding": output_padding}
        tensors = {"input": ramp(1, 1, 3, 4), "weight": ramp(1, 1, 3, 2), "bias": torch.tensor([0.5])}
        yield "conv_transpose2d", f"output_padding_{index}", params, tensors
    yield "conv_transpose2d", "output_padding_counts_for_the_bias_alone", {"stride": 3, "output_padding": 2}, {"input": ramp(1, 1, 2, 2), "weight": ramp(1, 1, 1, 1), "bias": torch.tensor([7.0])}
    yield "conv_transpose2d", "stride_beyond_the_kernel", {"stride": 4}, {"input": ramp(1, 1, 2, 2), "weight": ramp(1, 1, 2, 2), "bias": torch.tensor([7.0])}
    yield "conv_transpose2d", "padding_leaves_one_element", {"padding": 1}, {"input": image([[2.0]]), "weight": ramp(1, 1, 3, 3)}
    yield "conv_transpose2d", "padding_beyond_the_kernel", {"padding": 2}, {"input": ramp(1, 2, 4, 5), "weight": ramp(2, 1, 2, 2)}
    yield "conv_transpose2d", "kernel_of_one", {}, {"input": ramp(2, 3, 2, 3), "weight": ramp(3, 2, 1, 1), "bias": ramp(2)}
    yield "conv_transpose2d", "depthwise", {"groups": 3, "padding": 1}, {"input": ramp(2, 3, 4, 3), "weight": ramp(3, 1, 3, 3)}
    yield "conv_transpose2d", "groups", {"groups": 2, "stride": 2}, {"input": ramp(1, 4, 2, 3), "weight": ramp(4, 3, 2, 3), "bias": ramp(6)}
    yield "conv_transpose2d", "blocks_that_touch", {"stride": 2}, {"input": ramp(1, 2, 3, 2), "weight": ramp(2, 2, 2, 2), "bias": ramp(2)}
    yield "conv_transpose2d", "batch_of_0", {}, {"input": torch.zeros(0, 1, 3, 3), "weight": ramp(1, 1, 2, 2), "bias": ramp(1)}
    yield "conv_transpose2d", "no_batch", {}, {"input": ramp(2, 3, 4), "weight": ramp(2, 3, 2, 2), "bias": ramp(3)}
    bias = {"input": ramp(2, 1, 2, 2), "weight": ramp(1, 2, 2, 2), "bias": ramp(2)}
    for name in ("input", "weight", "bias"):
        yield "conv_transpose2d", f"of_the_{name}_alone", {}, bias, (numbers(2, 2, 3, 3) * 5 % 17 - 5.5) / 2, [name]
    yield "conv_transpose2d", "nan_in_the_input", {}, {"input": image([[nan, 1], [2, 3]]), "weight": ramp(1, 1, 2, 2)}
    yield "conv_transpose2d", "nan_in_grad_output", {}, {"input": image([[1, 2, 3]]), "weight": image([[1, 2]])}, row(nan, 2, 3, 4).reshape(1, 1, 1, 4)


def corners_of_roi_pool():
    x = ramp(1, 2, 6, 6)
    box = lambda *values: torch.tensor([[0, *v] for v in values], dtype=torch.float32)
    small = {"output_size": [2, 3]}
    for name, boxes in [
        ("boxes_that_overlap", box((0, 0, 4, 4), (2, 2, 5, 5))),
        ("a_box_twice", box((1, 1, 4, 4), (1, 1, 4, 4))),
        ("a_box_in_a_box", box((0, 0, 5, 5), (3, 3, 5, 5), (5, 5, 5, 5))),
        ("halves_are_rounded_away_from_0", box((0.5, 1.5, 2.5, 3.5), (-0.5, -1.5, 4, 4))),
        ("a_reversed_box", box((1, 1, 5, 5), (5, 5, 2, 2))),
        ("boxes_beside_the_image", box((1, 1, 5, 5), (20, 20, 30, 30), (-20, -20, -10, -10))),
        ("boxes_that_reach_outside", box((-3, 4, 3, 20), (4, -7, 9, 3))),
        ("fewer_positions_than_bins", box((3, 3, 4, 4), (1, 0, 1, 0))),
    ]:
        yield "roi_pool", name, small, {"input": x, "boxes": boxes}
    yield "roi_pool", "boxes_by_image", small, {"input": ramp(3, 1, 5, 5), "boxes": [box((0, 0, 4, 3))[:, 1:], torch.zeros(0, 4), box((1, 1, 3, 4), (0, 2, 4, 4))[:, 1:]]}
    yield "roi_pool", "an_image_without_boxes", small, {"input": ramp(2, 1, 3, 4), "boxes": torch.tensor([[1.0, 0, 0, 3, 2]])}
    yield "roi_pool", "ties", {"output_size": 2}, {"input": torch.ones(1, 1, 4, 4), "boxes": box((0, 0, 3, 3), (1, 1, 3, 3))}
    yield "roi_pool", "zeros_of_both_signs", {"output_size": 1}, {"input": image([[-0.0, 0.0], [0.0, -0.0]]), "boxes": box((0, 0, 1, 1))}
    yield "roi_pool", "bins_that_share_positions", {"output_size": [5, 4]}, {"input": ramp(1, 1, 4, 4) % 1.3, "boxes": box((0, 0, 2, 1))}
    yield "roi_pool", "a_scale_of_a_half", {"output_size": 2, "spatial_scale": 0.5}, {"input": x, "boxes": box((1, 3, 9, 11), (-1, -3, 5, 5))}
    yield "roi_pool", "edges_of_float32", {"output_size": 7}, {"input": ramp(1, 1, 12, 12), "boxes": box((0, 0, 9, 9))}
    yield "roi_pool", "a_nan_is_never_the_maximum", {"output_size": 1}, {"input": image([[nan, 1], [0, nan]]), "boxes": box((0, 0, 1, 1))}
    yield "roi_pool", "nothing_but_nan_has_no_maximum", {"output_size": 1}, {"input": torch.full((1, 1, 2, 2), nan), "boxes": box((0, 0, 1, 1))}
    yield "roi_pool", "nothing_but_infinity_below_zero_has_none", {"output_size": 1}, {"input": torch.full((1, 1, 2, 2), -inf), "boxes": box((0, 0, 1, 1))}
    yield "roi_pool", "all_bins_empty", {"output_size": 1}, {"input": image([[1, 2], [3, 4]]), "boxes": box((7, 7, 9, 9))}
    yield "roi_pool", "batch_of_0", {"output_size": 2}, {"input": torch.zeros(0, 2, 8, 8), "boxes": torch.zeros(0, 5)}
    yield "roi_pool", "no_boxes", {"output_size": 2}, {"input": ramp(1, 1, 2, 3), "boxes": torch.zeros(0, 5)}
    yield "roi_pool", "nan_in_grad_output", {"output_size": [1, 2]}, {"input": ramp(1, 1, 2, 3), "boxes": box((0, 0, 2, 1), (7, 7, 9, 9))}, row(nan, 2, nan, 3).reshape(2, 1, 1, 2)


def corners_of_batch_norm():
    training = {"training": True}
    running = {"running_mean": row(0.5, -1), "running_var": row(2, 0.25)}
    affine = {"weight": row(1.5, -0.5), "bias": row(3, -2)}
    column = lambda *channels: torch.tensor(channels, dtype=torch.float32).T.contiguous()
    x = ramp(3, 2, 4) % 1.7
    for name, tensors in [("", affine), ("_without_affine", {}), ("_without_bias", {"weight": affine["weight"]}), ("_without_weight", {"bias": affine["bias"]})]:
        yield "batch_norm", f"training{name}", training, {"input": x, **tensors}
        yield "batch_norm", f"training{name}_with_running_statistics", training, {"input": x, **running, **tensors}
        yield "batch_norm", f"inference{name}", {}, {"input": x, **running, **tensors}
    for name in ("input", "weight", "bias"):
        for mode, params in (("training", training), ("inference", {})):
            yield "batch_norm", f"{mode}_of_the_{name}_alone", params, {"input": x, **running, **affine}, torch.sin(numbers(3, 2, 4)), [name]
    yield "batch_norm", "momentum_does_nothing", {**training, "momentum": 1.0}, {"input": x, **running, **affine}
    yield "batch_norm", "two_values_a_channel", training, {"input": column([1, 5], [2, -3]), **affine}
    yield "batch_norm", "one_image", training, {"input": ramp(1, 2, 3, 2) % 1.1, **affine}
    yield "batch_norm", "one_value_a_channel_in_inference", {}, {"input": ramp(1, 2), **running, **affine}
    yield "batch_norm", "a_constant_channel", training, {"input": column([0.5, 0.5, 0.5, 0.5], [1, 2, 4, 3]), **affine}
    yield "batch_norm", "a_large_eps", {**training, "eps": 10.0}, {"input": x, **affine}
    yield "batch_norm", "a_running_variance_of_0", {"eps": 1e-3}, {"input": ramp(2, 2), "running_mean": torch.zeros(2), "running_var": torch.zeros(2), **affine}
    yield "batch_norm", "a_weight_of_0", training, {"input": column([1, 5, 2], [2, -3, 0]), "weight": row(0, 2), "bias": row(1, 1)}
    yield "batch_norm", "a_constant_grad_output", training, {"input": x, **affine}, torch.full((3, 2, 4), 1.5), ["bias"]
    yield "batch_norm", "a_mean_of_1000", training, {"input": (ramp(8, 1, 4) % 1.0) + 1000, "weight": row(2), "bias": row(1)}, torch.sin(numbers(8, 1, 4))
    yield "batch_norm", "nan_in_one_channel", training, {"input": column([nan, 2, 3], [1, 5, 4]), **affine}
    yield "batch_norm", "infinity_in_one_channel", training, {"input": column([inf, 2, 3], [1, 5, 4]), **affine}
    yield "batch_norm", "nan_in_inference", {}, {"input": column([nan, 2, 3], [1, 5, 4]), **running, **affine}
    yield "batch_norm", "nan_in_grad_output", training, {"input": column([1, 2, 3], [1, 5, 4]), **affine}, column([1, nan, 2], [3, 1, -1])
    yield "batch_norm", "nan_in_grad_output_in_inference", {}, {"input": column([1, 2, 3], [1, 5, 4]), **running, **affine}, column([1, nan, 2], [3, 1, -1])
    for mode, params in (("training", training), ("inference", {})):
        yield "batch_norm", f"batch_of_0_in_{mode}", params, {"input": torch.zeros(0, 2, 3), **running, **affine}


def corners_of_losses():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.1, -3.0, 2.0], [0.0, 0.0, 0.0]])
    w = torch.tensor([0.2, 0.0, 1.5])
    few = logits[:2]
    for op in ("cross_entropy", "nll_loss"):
        for reduction in ("none", "mean", "sum"):
            r = {"reduction": reduction}
            input = logits if op == "cross_entropy" else torch.log_softmax(logits, 1)
            yield op, f"ignore_index_inside_{reduction}", {**r, "ignore_index": 1}, {"input": input, "target": classes(0, 1, 2)}
            yield op, f"ignore_index_beyond_{reduction}", {**r, "ignore_index": 9}, {"input": input, "target": classes(0, 9, 2)}
            yield op, f"all_ignored_{reduction}", r, {"input": few, "target": classes(-100, -100)}
            yield op, f"all_ignored_with_weights_{reduction}", r, {"input": few, "target": classes(-100, -100), "weight": w}
            yield op, f"weights_{reduction}", r, {"input": input, "target": classes(0, 1, 2), "weight": w}
            yield op, f"weights_and_an_ignored_row_{reduction}", r, {"input": input, "target": classes(0, -100, 2), "weight": w}
            yield op, f"weights_that_add_up_to_0_{reduction}", r, {"input": few, "target": classes(1, 1), "weight": w}
            yield op, f"batch_of_0_{reduction}", r, {"input": torch.zeros(0, 3), "target": torch.zeros(0, dtype=torch.long)}
            yield op, f"all_ignored_in_a_plane_{reduction}", r, {"input": ramp(1, 2, 1, 3), "target": torch.full((1, 1, 3), -100)}
            yield op, f"planes_{reduction}", {**r, "ignore_index": 2}, {"input": torch.sin(numbers(2, 3, 2, 2)), "target": classes(0, 1, 2, 0, 1, 1, 2, 0).reshape(2, 2, 2), "weight": w}
        yield op, "no_batch", {}, {"input": logits[0], "target": classes(2)[0]}
        yield op, "no_batch_and_ignored", {"reduction": "sum"}, {"input": logits[0], "target": torch.tensor(-100)}
        yield op, "one_class", {}, {"input": logits[:, :1], "target": classes(0, 0, 0)}
        yield op, "nan_in_grad_output", {"reduction": "none"}, {"input": few, "target": classes(0, 2)}, row(nan, 2)
        yield op, "nan_in_grad_output_of_an_ignored_row", {"reduction": "none"}, {"input": few, "target": classes(-100, 2)}, row(nan, 2)
    yield "nll_loss", "nan_and_infinities_in_the_input_do_nothing", {"reduction": "none"}, {"input": torch.tensor([[nan, inf], [-inf, 1]]), "target": classes(0, 1)}
    for reduction in ("none", "mean", "sum"):
        r = {"reduction": reduction}
        smooth = {**r, "label_smoothing": 0.3}
        yield "cross_entropy", f"smoothing_{reduction}", smooth, {"input": logits, "target": classes(0, 1, 2)}
        yield "cross_entropy", f"weights_and_smoothing_{reduction}", smooth, {"input": logits, "target": classes(0, 1, 2), "weight": w}
        yield "cross_entropy", f"weights_smoothing_and_an_ignored_row_{reduction}", smooth, {"input": logits, "target": classes(0, -100, 2), "weight": w}
        yield "cross_entropy", f"smoothing_with_all_ignored_{reduction}", smooth, {"input": few, "target": classes(-100, -100), "weight": w}
        yield "cross_entropy", f"smoothing_with_weights_that_add_up_to_0_{reduction}", smooth, {"input": few, "target": classes(1, 1), "weight": w}
        probabilities = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]])
        yield "cross_entropy", f"probabilities_{reduction}", r, {"input": logits, "target": probabilities}
        yield "cross_entropy", f"probabilities_and_weights_{reduction}", r, {"input": logits, "target": probabilities, "weight": w}
        yield "cross_entropy", f"probabilities_weights_and_smoothing_{reduction}", smooth, {"input": logits, "target": probabilities, "weight": w}
        yield "cross_entropy", f"probabilities_that_do_not_add_up_to_1_{reduction}", r, {"input": logits, "target": logits, "weight": w}
        yield "cross_entropy", f"probabilities_in_planes_{reduction}", smooth, {"input": torch.sin(numbers(2, 3, 2, 2)), "target": torch.cos(numbers(2, 3, 2, 2)).abs(), "weight": w}
        yield "cross_entropy", f"probabilities_with_a_batch_of_0_{reduction}", r, {"input": torch.zeros(0, 3), "target": torch.zeros(0, 3)}
    probabilities = {"input": logits, "target": torch.softmax(logits.flip(1), 1)}
    for name in ("input", "target"):
        yield "cross_entropy", f"probabilities_of_the_{name}_alone", {}, probabilities, torch.tensor(1.5), [name]
    yield "cross_entropy", "probabilities_without_a_batch", {}, {"input": logits[0], "target": row(0.2, 0.5, 0.3)}
    yield "cross_entropy", "smoothing_of_1", {"label_smoothing": 1.0}, {"input": logits, "target": classes(0, 1, 2)}
    none = {"reduction": "none"}
    yield "cross_entropy", "huge_logits", none, {"input": torch.tensor([[1e30, -1e30], [3e4, 3e4 + 1]]), "target": classes(1, 0)}
    yield "cross_entropy", "far_logits", none, {"input": torch.tensor([[18.0, 0.0, -40.0], [30.0, 0.0, -90.0], [1.0, 2.0, 0.0]]), "target": classes(0, 0, 0)}
    yield "cross_entropy", "infinity_below_zero_is_a_class_of_probability_0", none, {"input": torch.tensor([[-inf, 1.0], [1.0, -inf]]), "target": classes(1, 0)}
    yield "cross_entropy", "of_an_infinite_loss", none, {"input": torch.tensor([[-inf, 1.0], [1.0, 2.0]]), "target": classes(0, 0)}
    yield "cross_entropy", "an_infinite_logit", none, {"input": torch.tensor([[inf, 1.0], [1.0, 2.0]]), "target": classes(0, 0)}
    yield "cross_entropy", "nothing_but_infinity_below_zero", none, {"input": torch.tensor([[-inf, -inf], [1.0, 2.0]]), "target": classes(0, 0)}
    yield "cross_entropy", "nan_in_an_ignored_row", {}, {"input": torch.tensor([[nan, 1.0], [1.0, 2.0]]), "target": classes(-100, 0)}
    yield "cross_entropy", "infinity_below_zero_beside_a_probability_of_0", none, {"input": torch.tensor([[-inf, 1.0], [1.0, 2.0]]), "target": torch.tensor([[0.0, 1.0], [0.5, 0.5]])}

    for op, params in (("mse_loss", {}), ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.0}), ("smooth_l1_loss", {"beta": 2.5})):
        name = f"beta_{params['beta']:g}_" if params else ""
        name = name.replace(".", "_")
        for reduction in ("none", "mean", "sum"):
            r = {**params, "reduction": reduction}
            yield op, f"{name}broadcast_in_turns_{reduction}", r, {"input": torch.sin(numbers(2, 1, 3, 1)), "target": torch.cos(numbers(1, 4, 1, 2)) * 2}
            yield op, f"{name}a_scalar_target_{reduction}", r, {"input": ramp(2, 3), "target": torch.tensor(0.25)}
            yield op, f"{name}batch_of_0_{reduction}", r, {"input": torch.zeros(0, 3), "target": torch.zeros(0, 3)}
        yield op, f"{name}equal", params, {"input": row(1, -2, 0), "target": row(1, -2, -0.0)}
        yield op, f"{name}scalars", params, {"input": torch.tensor(2.0), "target": torch.tensor(-1.5)}
        yield op, f"{name}nan_and_infinities", {**params, "reduction": "none"}, {"input": row(nan, inf, inf, 1), "target": row(1, 1, inf, -inf)}
        yield op, f"{name}nan_in_grad_output", {**params, "reduction": "none"}, {"input": row(1, 2, 1), "target": row(1, 1, 4)}, row(nan, inf, nan)
    yield "smooth_l1_loss", "at_beta", {"reduction": "none", "beta": 0.5}, {"input": row(0.5, -0.5, 0.49999997, -0.49999997, 0.50000006, 0, -0.0), "target": torch.zeros(7)}
    yield "smooth_l1_loss", "beta_0_around_0", {"reduction": "none", "beta": 0}, {"input": row(0, -0.0, 1e-30, -1e-30, nan, -2), "target": torch.zeros(6)}
    yield "smooth_l1_loss", "beta_0_of_the_smallest_numbers", {"reduction": "none", "beta": 0}, {"input": row(0, 1e-45, -1e-45, 1e-38, 1), "target": torch.zeros(5)}
    yield "smooth_l1_loss", "a_small_beta", {"reduction": "none", "beta": 1e-20}, {"input": row(0, 5e-21, -5e-21, 1e-20, 1), "target": torch.zeros(5)}
    yield "smooth_l1_loss", "huge", {"reduction": "none"}, {"input": row(1e38, -1e38, 3e38), "target": row(-1e38, 1e38, 0)}
    yield "mse_loss", "of_the_target_alone", {}, {"input": ramp(2, 3), "target": ramp(3)}, torch.tensor(3.0), ["target"]

    op = "binary_cross_entropy_with_logits"
    x, t = torch.sin(numbers(2, 3)) * 3, torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.25, 0.0]])
    for reduction in ("none", "mean", "sum"):
        r = {"reduction": reduction}
        yield op, f"plain_{reduction}", r, {"input": x, "target": t}
        yield op, f"weight_{reduction}", r, {"input": x, "target": t, "weight": row(0.5, 0, 2)}
        yield op, f"pos_weight_{reduction}", r, {"input": x, "target": t, "pos_weight": row(0.5, 1, 3)}
        yield op, f"weight_of_each_row_and_pos_weight_{reduction}", r, {"input": x, "target": t, "weight": row(0.5, 2)[:, None], "pos_weight": torch.tensor(3.0)}
        yield op, f"batch_of_0_{reduction}", r, {"input": torch.zeros(0, 3), "target": torch.zeros(0, 3)}
    none = {"reduction": "none"}
    huge = row(0, -0.0, 100, -100, 20, -20, 1)
    for name, target in (("1", torch.ones(7)), ("0", torch.zeros(7)), ("between", torch.full((7,), 0.3)), ("outside", row(2, -1, 2, -1, 2, -1, 2))):
        yield op, f"huge_logits_target_{name}", none, {"input": huge, "target": target}
        yield op, f"huge_logits_target_{name}_pos_weight", none, {"input": huge[:6], "target": target[:6], "pos_weight": torch.tensor(2.5)}
    yield op, "nan_and_infinities", none, {"input": row(nan, inf, -inf, inf, 1), "target": row(1, 1, 0, 0, nan)}
    yield op, "a_logit_of_1e30", none, {"input": row(1e30, 1e30, -1e30), "target": row(0, 0.5, 1)}
    yield op, "scalars", {}, {"input": torch.tensor(0.5), "target": torch.tensor(0.75)}
    yield op, "of_the_target_alone", {}, {"input": x, "target": t}, torch.tensor(1.5), ["target"]
    yield op, "nan_in_grad_output", none, {"input": row(0, 100, -1), "target": row(0, 1, 0)}, row(nan, nan, 2)


def corners_of_elements():
    # With few NaN, in few elements: PyTorch's CPU gives relu6 and hardswish of NaN another gradient in its vectors, 0 and NaN,
    # than in what is left over; the latter's, grad_output, is that of its GPUs.
    elementwise = [("sigmoid", {}, ""), ("relu", {}, ""), *[(op, {}, "") for op in ("relu6", "leaky_relu", "hardswish", "silu", "tanh")],
                   ("gelu", {"approximate": "none"}, "_exact"), ("gelu", {"approximate": "tanh"}, "_by_tanh")]
    for op, params, suffix in elementwise:
        yield op, f"zeros_and_nan{suffix}", params, {"input": row(0, -0.0, nan, -nan, 1, -1)}
        if op not in ("silu", "gelu"):
            yield op, f"infinities{suffix}", params, {"input": row(inf, -inf, 1)}
        else:
            yield op, f"infinities_give_nan{suffix}", params, {"input": row(inf, -inf, 1)}
        yield op, f"batch_of_0{suffix}", params, {"input": torch.zeros(0, 3)}
        yield op, f"a_scalar{suffix}", params, {"input": torch.tensor(0.5)}
        yield op, f"close_to_0{suffix}", params, {"input": row(1e-8, -1e-8, 1e-4, -1e-4, 1e-20, -1e-20)}
        yield op, f"nan_and_infinities_in_grad_output{suffix}", params, {"input": row(-1, 1, -2, 2, -0.5, 0.5)}, row(nan, nan, inf, inf, -inf, 1)
        yield op, f"huge{suffix}", params, {"input": row(1e12, -1e12, 50, -50, 1)}
        yield op, f"in_four_dimensions{suffix}", params, {"input": torch.sin(numbers(2, 3, 2, 3)) * 4}
    # No normal numbers: they are not 0.
    for op in ("relu", "relu6", "leaky_relu"):
        yield op, "the_smallest_numbers", {}, {"input": row(1e-45, -1e-45, 0, -0.0, 1e-38, -1e-38)}
    yield "relu", "nan_in_grad_output_at_0", {}, {"input": row(0, -0.0, -1, 1)}, row(nan, inf, -inf, 2)
    yield "relu6", "around_its_bounds", {}, {"input": row(-1e-30, 0, 1e-30, 5.9999995, 6, 6.0000005, 3)}
    yield "relu6", "nan_in_grad_output_at_its_bounds", {}, {"input": row(0, 6, 7, 3)}, row(nan, inf, nan, 2)
    yield "hardswish", "at_its_bounds", {}, {"input": row(-3, 3, -2.9999998, 2.9999998, -3.0000002, 3.0000002)}
    yield "hardswish", "nan_in_grad_output_beyond_its_bounds", {}, {"input": row(-3, -4, 3, 4)}, row(nan, inf, 2, nan)
    yield "hardswish", "between", {}, {"input": row(-2, -1.5, -1, 0, 1, 2)}
    for name, slope in [("negative", -1.0), ("of_0", 0.0), ("of_1", 1), ("huge", 1e30), ("above_1", 2.5)]:
        yield "leaky_relu", f"slope_{name}", {"negative_slope": slope}, {"input": row(-2.5, -0.0, 0.0, 4, -1)}
    yield "leaky_relu", "slope_of_0_beside_infinity_in_grad_output", {"negative_slope": 0.0}, {"input": row(-1, -1, 1)}, row(inf, nan, 2)
    yield "sigmoid", "saturates", {}, {"input": row(16, 17.5, 20, 88, -87, -100, 1)}
    yield "sigmoid", "far_below_0", {}, {"input": row(-16, -15.5, -17)}
    yield "sigmoid", "farther_below_0", {}, {"input": row(-80, -79)}
    yield "tanh", "saturates", {}, {"input": row(8, 9, 9.1, 20, -9, 44, -1)}
    yield "silu", "where_exp_leaves_float32", {}, {"input": row(-80, -87, -88, -89, 88, 89, -104)}
    yield "silu", "far_below_0", {}, {"input": row(-20, -19)}
    yield "silu", "at_its_minimum", {}, {"input": row(-1.2784645, -1.2, -1.3)}
    for approximate in ("none", "tanh"):
        yield "gelu", f"tails_{approximate}", {"approximate": approximate}, {"input": row(-3, -4, -5, -5.5, -6, 4, 6)}

    yield "prelu", "one_weight", {}, {"input": ramp(2, 3, 4), "weight": row(0.25)}
    yield "prelu", "a_weight_that_is_a_scalar", {}, {"input": ramp(2, 3, 4), "weight": torch.tensor(0.25)}
    yield "prelu", "a_weight_for_each_channel", {}, {"input": ramp(2, 3, 4), "weight": row(0.25, -1, 3)}
    yield "prelu", "channels_are_the_second_of_two_dimensions", {}, {"input": ramp(2, 3), "weight": row(0.25, -1, 3)}
    yield "prelu", "one_dimension", {}, {"input": ramp(12), "weight": row(0.25)}
    yield "prelu", "scalars", {}, {"input": torch.tensor(-2.0), "weight": torch.tensor(0.25)}
    yield "prelu", "zeros", {}, {"input": row(0, -0.0, 1, -1), "weight": row(0.25)}
    yield "prelu", "nan", {}, {"input": row(nan, 1, -1), "weight": row(0.25)}
    yield "prelu", "infinities", {}, {"input": row(inf, 1, -inf), "weight": row(0.25)}
    yield "prelu", "a_weight_of_nan_or_infinity", {}, {"input": torch.tensor([[1.0, 2, 3], [-1, 2, -3]]), "weight": row(nan, inf, -inf)}
    yield "prelu", "no_numbers_below_0", {}, {"input": row(1, 2, 3), "weight": row(0.25)}
    yield "prelu", "batch_of_0", {}, {"input": torch.zeros(0, 3), "weight": row(1, 2, 3)}
    yield "prelu", "nan_in_grad_output", {}, {"input": row(1, -2, 0), "weight": row(0.5)}, row(nan, 1, 2)
    for name in ("input", "weight"):
        yield "prelu", f"of_the_{name}_alone", {}, {"input": ramp(4, 3), "weight": row(0.25, -1, 3)}, torch.sin(numbers(4, 3) + 1), [name]

    for name, params, shapes in [
        ("scalars", {"alpha": 3}, [(), ()]), ("a_scalar_and_a_matrix", {}, [(), (2, 3)]), ("a_matrix_and_a_scalar", {"alpha": 2}, [(2, 3), ()]),
        ("broadcast_in_turns", {"alpha": -0.5}, [(2, 1, 3, 1), (1, 4, 1, 2)]), ("more_dimensions_of_other", {}, [(3,), (2, 2, 3)]),
        ("more_dimensions_of_input", {"alpha": 2.5}, [(2, 2, 3), (3,)]), ("a_column_and_a_row", {}, [(3, 1), (1, 4)]),
        ("an_alpha_of_0", {"alpha": 0}, [(2, 3), (2, 3)]), ("a_negative_alpha", {"alpha": -2.5}, [(2, 3), (3,)]),
        ("a_huge_alpha", {"alpha": 1e30}, [(2, 3), (2, 3)]), ("one_row_for_none", {}, [(0, 3), (1, 3)]), ("none_on_both_sides", {}, [(2, 0), (2, 0)]),
        ("a_scalar_for_none", {}, [(), (0, 2)]), ("ones_in_front", {}, [(1, 1, 2, 3), (2, 3)]),
    ]:
        yield "add", name, params, {"input": torch.sin(numbers(*shapes[0])), "other": torch.cos(numbers(*shapes[1]))}
    for name in ("input", "other"):
        yield "add", f"of_the_{name}_alone", {"alpha": 2}, {"input": ramp(2, 3), "other": ramp(3)}, ramp(2, 3) + 0.1, [name]
    yield "add", "nan_and_infinities_in_grad_output", {"alpha": 0}, {"input": row(1, 2, 3), "other": row(1, 2, 3)}, row(nan, inf, 2)


def corners_of_the_rest():
    weight, bias = ramp(4, 3), row(1, -2, 0.5, 7)
    yield "linear", "batch_of_0", {}, {"input": torch.zeros(0, 3), "weight": ramp(2, 3), "bias": ramp(2)}
    yield "linear", "nothing_to_add_up", {}, {"input": torch.zeros(2, 0), "weight": torch.zeros(4, 0), "bias": bias}
    yield "linear", "no_outputs", {}, {"input": ramp(2, 3), "weight": torch.zeros(0, 3), "bias": torch.zeros(0)}
    for name, input in [("one_dimension", ramp(3)), ("two_dimensions", ramp(5, 3)), ("three_dimensions", ramp(2, 2, 3)), ("four_dimensions", ramp(2, 1, 3, 3))]:
        yield "linear", name, {}, {"input": input, "weight": weight, "bias": bias}
        yield "linear", f"{name}_without_bias", {}, {"input": input, "weight": weight}
        yield "linear", f"{name}_and_a_weight_of_one", {}, {"input": input, "weight": row(1, 2, -1)}
    yield "linear", "one_dimension_each_and_a_scalar_for_a_bias", {}, {"input": ramp(3), "weight": row(1, 2, -1), "bias": torch.tensor(0.5)}
    for name, value in [("a_scalar", torch.tensor(0.5)), ("one_element", row(0.5)), ("one_row", bias[None]), ("each_row", ramp(2, 4))]:
        yield "linear", f"a_bias_of_{name}", {}, {"input": ramp(2, 3), "weight": weight, "bias": value}
    for name in ("input", "weight", "bias"):
        yield "linear", f"of_the_{name}_alone", {}, {"input": ramp(5, 3), "weight": weight, "bias": bias}, torch.sin(numbers(5, 4)), [name]
    yield "linear", "nan_in_the_input", {}, {"input": torch.tensor([[nan, 1.0], [2, 3]]), "weight": ramp(2, 2)}
    yield "linear", "infinity_in_the_weight", {}, {"input": ramp(2, 2), "weight": torch.tensor([[inf, 1.0], [2, 3]])}, torch.tensor([[1.0, 2], [0, 1]])

    x = torch.sin(numbers(2, 3, 2))
    for op in ("softmax", "log_softmax"):
        for dim in (0, 1, -1):
            yield op, f"dim_{dim}", {"dim": dim}, {"input": x}
        yield op, "a_scalar", {"dim": 0}, {"input": torch.tensor(2.5)}
        yield op, "one_class", {"dim": 1}, {"input": ramp(3, 1)}
        yield op, "batch_of_0", {"dim": 1}, {"input": torch.zeros(0, 3)}
        yield op, "no_classes", {"dim": 1}, {"input": torch.zeros(2, 0)}
        yield op, "huge", {"dim": 1}, {"input": torch.tensor([[1e30, -1e30, 0], [3e4, 3e4 + 1, 3e4 - 1]])}
        yield op, "far", {"dim": 1}, {"input": torch.tensor([[0, 40.0, -40], [0, -87, -110], [0, 1, 2]])}
        yield op, "equal", {"dim": 1}, {"input": torch.full((2, 3), 7.0)}
        yield op, "tiny", {"dim": 0}, {"input": row(1e-30, -1e-30, 1e-45)}
        yield op, "infinity_below_zero", {"dim": 1}, {"input": torch.tensor([[-inf, 1, 2], [0, -inf, -inf]])}
        yield op, "nothing_but_infinity_below_zero", {"dim": 1}, {"input": torch.tensor([[-inf, -inf], [0, 1]])}
        yield op, "infinity", {"dim": 1}, {"input": torch.tensor([[inf, 1], [0, 1]])}
        yield op, "nan", {"dim": 1}, {"input": torch.tensor([[nan, 1], [0, 1]])}
        yield op, "nan_in_grad_output", {"dim": 1}, {"input": torch.tensor([[2.0, 1], [0, 1]])}, torch.tensor([[nan, 1], [2, 3]])
        yield op, "a_constant_grad_output", {"dim": 0}, {"input": row(1, 2, 3)}, row(2, 2, 2)

    image = torch.sin(numbers(1, 2, 4, 5))
    for mode in ("nearest", "nearest-exact", "bilinear", "area"):
        m, name = {"mode": mode}, mode.replace("-", "_")
        for text, params in [("up", {"size": [7, 9]}), ("down", {"size": [2, 3]}), ("same", {"size": [4, 5]}), ("twice", {"scale_factor": 2}),
                             ("half", {"scale_factor": 0.5}), ("one_element", {"size": 1}), ("odd_factor", {"scale_factor": [1.3, 2.7]})]:
            yield "interpolate", f"{name}_{text}", {**m, **params}, {"input": image}
        yield "interpolate", f"{name}_of_one_element", {**m, "size": [2, 3]}, {"input": row(2.5)[None, None, None]}
        yield "interpolate", f"{name}_batch_of_0", {**m, "size": 2}, {"input": torch.zeros(0, 2, 3, 3)}
    for align in (True, False):
        for size in ([1, 1], [1, 9], [7, 1], [2, 2], [8, 10], [3, 3]):
            name = f"{'aligned' if align else 'not_aligned'}_{size[0]}_{size[1]}"
            yield "interpolate", name, {"size": size, "mode": "bilinear", "align_corners": align}, {"input": image}
    yield "interpolate", "a_factor_with_aligned_corners", {"scale_factor": [1.9, 2.7], "mode": "bilinear", "align_corners": True}, {"input": image}

    x = ramp(2, 3)
    for name, params, input in [
        ("nothing", {"pad": []}, x), ("a_scalar", {"pad": []}, torch.tensor(2.5)), ("last_first", {"pad": [1, 0, 0, 2]}, x),
        ("negative", {"pad": [-1, 2, 1, -1], "value": 9.0}, x), ("nothing_is_left", {"pad": [-1, -2]}, x), ("of_nothing", {"pad": [1, 1], "value": 2.0}, torch.zeros(0)),
        ("reflect", {"pad": [2, 2], "mode": "reflect"}, x), ("reflect_one_side", {"pad": [0, 2], "mode": "reflect"}, x), ("replicate", {"pad": [3, 4], "mode": "replicate"}, x),
        ("replicate_one_element", {"pad": [3, 4], "mode": "replicate"}, row(1, 2)[:, None]),
        ("reflect_nothing", {"pad": [0, 0], "mode": "reflect"}, x), ("replicate_nothing", {"pad": [0, 0], "mode": "replicate"}, x),
        ("reflect_in_two_dimensions", {"pad": [2, 1, 1, 2], "mode": "reflect"}, ramp(1, 3, 4)), ("replicate_in_two_dimensions", {"pad": [2, 1, 1, 2], "mode": "replicate"}, ramp(1, 3, 4)),
        ("reflect_in_three_dimensions", {"pad": [1, 2, 1, 0, 1, 1], "mode": "reflect"}, ramp(2, 2, 2, 3)), ("replicate_in_three_dimensions", {"pad": [1, 0, 0, 2, 1, 1], "mode": "replicate"}, ramp(1, 2, 2, 2, 3)),
        *[(f"{mode}_before_cut_{'_'.join(map(str, pads))}", {"pad": pads, "mode": mode}, x) for mode in ("reflect", "replicate") for pads in ([-1, 2], [2, -1], [-1, -1], [1, -3])],
        *[(f"{mode}_batch_of_0", {"pad": [1, 1], "mode": mode}, torch.zeros(0, 2, 3)) for mode in ("reflect", "replicate", "constant")],
    ]:
        yield "pad", name, params, {"input": input}
    yield "pad", "nan_in_grad_output_of_the_padding", {"pad": [1, 1]}, {"input": row(1, 2)}, row(nan, 1, 2, inf)
    yield "pad", "nan_and_infinity_in_the_input_do_nothing", {"pad": [1, 1], "mode": "replicate"}, {"input": row(nan, inf)[None]}

    legacy = torch.zeros(0)
    for name, dim, tensors in [
        ("one_tensor", 0, [x]), ("empty_tensors_of_one_dimension", 1, [legacy, x, legacy, x]), ("such_a_one_last", -2, [x, legacy]),
        ("nothing_but_such", 0, [legacy, legacy]), ("no_columns", 1, [x, torch.zeros(2, 0), x]), ("no_rows", 0, [torch.zeros(0, 3), x]),
        ("no_rows_in_all", 0, [torch.zeros(0, 3), torch.zeros(0, 3)]), ("empty_in_another_dimension", 1, [torch.zeros(0, 3), torch.zeros(0, 2)]),
        ("twenty", 0, [row(i, -i) for i in range(20)]), ("in_the_middle", 1, [ramp(2, 1, 3), ramp(2, 3, 3), ramp(2, 2, 3)]), ("from_behind", -1, [ramp(2, 2, 1), ramp(2, 2, 3)]),
    ]:
        yield "cat", name, {"dim": dim}, {"tensors": tensors}
    same = ramp(2, 2)
    yield "cat", "a_tensor_twice", {}, {"tensors": [same, same]}
    yield "cat", "of_the_second_alone", {"dim": 1}, {"tensors": [x, ramp(2, 2), x]}, torch.sin(numbers(2, 8)), ["tensors.1"]
    yield "cat", "nan_in_grad_output", {}, {"tensors": [row(1), row(2, 3)]}, row(nan, inf, 1)

    for name, dims, shape in [("a_scalar", [], ()), ("one_dimension", [-1], (3,)), ("negative", [-1, 0, -2], (2, 3, 4)), ("none_of_a_dimension", [2, 0, 1], (2, 0, 3)),
                              ("as_they_are", [0, 1, 2], (2, 3, 4)), ("reversed", [3, 2, 1, 0], (2, 3, 1, 4)), ("a_cycle", [1, 2, 0], (2, 3, 4)), ("the_other_cycle", [2, 0, 1], (2, 3, 4)),
                              ("last_first", [0, 3, 1, 2], (2, 3, 2, 2)), ("eight_dimensions", [7, 3, 1, 5, 0, 2, 6, 4], (2, 1, 2, 3, 1, 2, 2, 1))]:
        yield "permute", name, {"dims": dims}, {"input": ramp(*shape)}
    yield "permute", "nan_in_grad_output", {"dims": [1, 0]}, {"input": ramp(2, 2)}, torch.tensor([[nan, 1], [inf, 2]])

    for name, params, shape in [("a_scalar", {}, ()), ("all", {}, (2, 3, 4)), ("the_last_two", {"start_dim": 1}, (2, 3, 4)), ("the_first_two", {"end_dim": 1}, (2, 3, 4)),
                                ("one_dimension", {"start_dim": 1, "end_dim": 1}, (2, 3, 4)), ("an_empty_one", {"start_dim": 1}, (2, 0, 3)), ("from_behind", {"start_dim": -2, "end_dim": -1}, (2, 3, 4))]:
        yield "flatten", name, params, {"input": ramp(*shape)}
    yield "flatten", "nan_in_grad_output", {}, {"input": ramp(2, 2)}, row(nan, inf, 1, 2)


def add_corners(folder):
    for op, name, params, tensors, *more in corners():
        output = forward(op, params, tensors)["output"]
        # All different, none of them 0, and sums of them are exact.
        grad_output = more[0] if more else (numbers(*output.shape) * 5 % 17 - 5.5) / 2
        wanted = more[1] if len(more) > 1 else differentiable(op, tensors)
        reason = folder.add_gradients(f"corner/{op}/{name}", op, params, tensors, grad_output, wanted)
        assert reason is None, (op, name, reason)


# ------------------------------------------------------------------------------------------------- checks


def check():
    """Reads the cases back and holds PyTorch's float32 against them."""
    lines = (make.HERE / NAME / "cases.jsonl").read_text().splitlines()
    arrays = load_file(make.HERE / NAME / "tensors.safetensors")
    cases, table = list(map(json.loads, lines)), collections.defaultdict(collections.Counter)
    assert len({case["id"] for case in cases}) == len(cases)
    assert {name for case in cases for name in make.names_of(case)} == set(arrays)
    not_finite = collections.Counter()
    for case in cases:
        source, op = case["id"].split("/")[:2]
        assert op == case["op"]
        table[op][source] += 1
        inputs = {name: [arrays[n] for n in of] if isinstance(of, list) else arrays[of] for name, of in case["inputs"].items()}
        grad_output = inputs.pop("grad_output")
        wanted = [name.removeprefix("grad_") for name in case["outputs"] if name.startswith("grad_")]
        got = backward(op, case["params"], inputs, grad_output, wanted, torch.float32)
        assert set(got) == set(case["outputs"]) and wanted, case["id"]
        for name, spec in case["outputs"].items():
            expected = arrays[spec["tensor"]]
            assert expected.shape == got[name].shape, (case["id"], name)
            assert not make.is_nearly_zero(expected), (case["id"], name)
            finite = expected.isfinite()
            if not finite.all():
                not_finite[source] += 1
                assert source in ("corner", "special") or name == "output", (case["id"], name)
            same = torch.where(finite, (expected.double() - got[name].double()).abs() <= spec["atol"],
                               (expected == got[name]) | expected.isnan() & got[name].isnan())
            # Of outputs, float64's are expected, as in make.py.
            if name == "output" and not torch.equal(kinds(expected), kinds(got[name])):
                print(f"{case['id']}: {name} is {expected.tolist()}, in float32 {got[name].tolist()}")
            else:
                assert same.all(), (case["id"], name, expected, got[name], spec)
    names = sorted({source for counts in table.values() for source in counts})
    print(f"{'operator':34}", *(f"{name:>12}" for name in [*names, "all"]))
    for op in OPERATORS:
        counts = [table[op][name] for name in names]
        print(f"{op:34}", *(f"{count:>12}" for count in [*counts, sum(counts)]))
        assert sum(counts) >= (CASES if op in MANY_CASES else FEWER_CASES), op
    print(f"{'all':34}", *(f"{sum(table[op][name] for op in OPERATORS):>12}" for name in names), f"{len(cases):>12}")
    print("not all finite:", dict(not_finite))


if __name__ == "__main__":
    # Losses warn of the broadcasts that are drawn on purpose, other functions of what is to be renamed.
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folder = Cases()
    add_torchvision(folder)
    for op in OPERATORS:
        add_opinfo(folder, op)
    add_corners(folder)
    for op in OPERATORS:
        most = CASES if op in MANY_CASES else FEWER_CASES
        add_random(folder, op, max(most * 7 // 10, most - folder.count(op)))
    for op in OPERATORS:
        add_special(folder, op)
    add_long(folder)
    folder.save()
    check()
