"""The operators that networks need beside the first ones: their calls, random parameters, corners, and what is refused."""

import inspect
import math
import random

import torch
import torch.nn.functional as F

inf, nan = math.inf, math.nan
LARGEST = torch.finfo(torch.float32).max

rng = random.Random("networks")

# Parameters that are lists of any length, in which one element is no number and two equal ones are no pair.
LISTS = {"dims", "pad"}

# PyTorch's own signatures, without what is not ours.
SIGNATURES = {op: inspect.signature(f) for op, f in {
    "relu6": lambda input: 0,
    "leaky_relu": lambda input, negative_slope=0.01: 0,
    "prelu": lambda input, weight: 0,
    "hardswish": lambda input: 0,
    "silu": lambda input: 0,
    "gelu": lambda input, approximate="none": 0,
    "tanh": lambda input: 0,
    "add": lambda input, other, alpha=1: 0,
    "linear": lambda input, weight, bias=None: 0,
    "softmax": lambda input, dim: 0,
    "log_softmax": lambda input, dim: 0,
    "adaptive_avg_pool2d": lambda input, output_size: 0,
    "interpolate": lambda input, size=None, scale_factor=None, mode="nearest", align_corners=None: 0,
    "pad": lambda input, pad, mode="constant", value=None: 0,
    "cat": lambda tensors, dim=0: 0,
    "permute": lambda input, dims: 0,
}.items()}
OPERATORS = list(SIGNATURES)

# How many random cases: more of operators with several modes.
CASES = {op: 100 if op in ("interpolate", "pad") else 60 for op in OPERATORS}


def call(op, params):
    """The operator as a function of its tensors."""
    if op in ("tanh", "add", "softmax", "log_softmax", "cat", "permute"):
        return lambda **tensors: {"output": getattr(torch, op)(**tensors, **params)}
    if op == "interpolate" and is_exact(op, params):
        # Indices are what float32 makes them.
        return lambda input: {"output": F.interpolate(input.float(), **params).to(input.dtype)}
    return lambda **tensors: {"output": getattr(F, op)(**tensors, **params)}


def is_exact(op, params):
    """Whether the operator gives elements as they are."""
    return op in ("relu6", "pad", "cat", "permute") or op == "interpolate" and params.get("mode", "nearest").startswith("nearest")


def scale(op, params, tensors):
    """The largest sum of magnitudes behind an output element, where that may be more than the output; else None."""
    if is_exact(op, params) or not all(t.numel() for t in tensors.values()):
        return None
    tensors = {name: t.double().nan_to_num(0, 0, 0) for name, t in tensors.items()}
    input = tensors["input"]
    if op == "gelu":
        # 1 + erf, which is about 0 for negative numbers, and 0 in float32 below -6.
        return input.abs().clamp(max=6).max().item()
    if op == "add":
        return (input.abs() + (params.get("alpha", 1) * tensors["other"]).abs()).max().item()
    if op == "softmax":
        # Exponential, sum and division are rounded in turn.
        return 4 * torch.softmax(input, params["dim"]).max().item()
    if op == "log_softmax":
        # A sum's rounding by its size is one of 1 in the logarithm.
        output = torch.log_softmax(input, params["dim"])
        return 1 + output[output.abs() <= LARGEST].abs().max().item()
    if op in ("linear", "adaptive_avg_pool2d", "interpolate"):
        sizes = call(op, params)(**{name: t.abs() for name, t in tensors.items()})["output"]
        return sizes.max().item() if sizes.numel() else None
    return None


def overflows(op, params, tensors, output):
    """Whether float32 overflows on the way to what float64 has finite, or its rounding decides what comes of an infinity."""
    if op == "add":
        # Whether product and sum are one operation decides.
        product = params.get("alpha", 1) * tensors["other"].double()
        is_huge = (product.abs() > LARGEST) & tensors["other"].isfinite()
        return bool((is_huge & (tensors["input"].double() * product < 0)).any())
    if op == "interpolate" and params.get("mode") == "bilinear":
        # A weight may be 0 in float32 alone.
        kinds = [o.float().nan_to_num(2.0, 1.0, -1.0).where(~o.float().isfinite(), torch.zeros(()))
                 for o in (call(op, params)(**tensors)["output"], output)]
        return not torch.equal(*kinds)
    if op not in ("linear", "adaptive_avg_pool2d", "interpolate") or is_exact(op, params):
        return False
    finite = {n: torch.where(t.isfinite(), t, torch.zeros(())).double() for n, t in tensors.items()}
    signed = call(op, params)(**finite)["output"]
    sizes = call(op, params)(**{n: t.abs() for n, t in finite.items()})["output"]
    if op != "linear":
        # Sums are divided last.
        rows, columns = (torch.tensor([-(-(i + 1) * a // b) - i * a // b for i in range(b)])
                         for a, b in zip(tensors["input"].shape[-2:], output.shape[-2:]))
        sizes = sizes * rows[:, None] * columns
    return bool(((sizes > LARGEST) & ((sizes > signed.abs() * 1.01) | ~output.isfinite())).any())


def is_ours(op, params, tensors):
    """Whether a call that others wrote is one of ours, and small."""
    if op not in OPERATORS:
        return True
    flat = [t for value in tensors.values() for t in (value if isinstance(value, list) else [value])]
    if not all(torch.is_tensor(t) and t.dtype == torch.float32 and t.numel() <= 1024 for t in flat):
        return False
    if not {n for n in SIGNATURES[op].parameters if n in ("input", "other", "weight", "tensors")} <= set(tensors):
        return False
    if op == "interpolate":
        return tensors["input"].dim() == 4 and params.get("mode", "nearest") in ("nearest", "nearest-exact", "bilinear", "area")
    return not isinstance(params.get("alpha"), (bool, complex)) and params.get("mode") != "circular"


ONNX = {"LeakyRelu": "leaky_relu", "PRelu": "prelu", "HardSwish": "hardswish", "Gelu": "gelu", "Tanh": "tanh", "Add": "add",
        "Softmax": "softmax", "LogSoftmax": "log_softmax", "Resize": "interpolate", "Pad": "pad", "Concat": "cat",
        "Transpose": "permute"}


def map_onnx(kind, attributes, names, inputs, outputs):
    """(params, tensors, expected) of a node, or None where it is no call of ours; `names` are those of the inputs."""
    image, params, tensors = inputs[0], {}, {"input": inputs[0]}
    if any(t.dtype != torch.float32 for t in (inputs if kind in ("Add", "Concat", "PRelu") else inputs[:1])):
        return None
    if kind == "LeakyRelu":
        params = {"negative_slope": attributes["alpha"]} if "alpha" in attributes else {}
    elif kind == "PRelu":
        if inputs[1].numel() != 1:
            return None
        tensors["weight"] = inputs[1].flatten()
    elif kind == "Gelu":
        params = {"approximate": attributes["approximate"]} if "approximate" in attributes else {}
    elif kind == "Add":
        tensors["other"] = inputs[1]
    elif kind in ("Softmax", "LogSoftmax"):
        params = {"dim": attributes.get("axis", -1)}
    elif kind == "Concat":
        params, tensors = {"dim": attributes["axis"]}, {"tensors": inputs}
    elif kind == "Transpose":
        params = {"dims": list(attributes.get("perm", reversed(range(image.dim()))))}
    elif kind == "Pad":
        mode = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}.get(attributes.get("mode", "constant"))
        if mode is None or len(inputs) > 3:
            return None
        pads = inputs[1].tolist()
        pairs = list(zip(pads[:image.dim()], pads[image.dim():]))[::-1]
        while pairs and pairs[-1] == (0, 0) and (mode == "constant" or len(pairs) > 2):
            pairs.pop()
        params = {"pad": [n for pair in pairs for n in pair], "mode": mode}
        if len(inputs) == 3:
            params["value"] = inputs[2].item()
    elif kind == "Resize":
        params = map_resize(attributes, dict(zip(names, inputs)), image)
        if params is None:
            return None
    return params, tensors, {"output": outputs[0]}


def map_resize(attributes, inputs, image):
    mode, nearest = attributes.get("mode", "nearest"), attributes.get("nearest_mode", "round_prefer_floor")
    coordinates = attributes.get("coordinate_transformation_mode", "half_pixel")
    others = {"antialias", "axes", "exclude_outside", "keep_aspect_ratio_policy"} & set(attributes)
    modes = {("nearest", "asymmetric", "floor"): {"mode": "nearest"},
             ("nearest", "half_pixel", "round_prefer_ceil"): {"mode": "nearest-exact"},
             ("linear", "half_pixel", nearest): {"mode": "bilinear"},
             ("linear", "align_corners", nearest): {"mode": "bilinear", "align_corners": True}}
    params = modes.get((mode, coordinates, nearest))
    if params is None or others or image.dim() != 4:
        return None
    if "scales" in inputs and coordinates == "align_corners":
        # There ONNX counts in fractions of a row.
        return None
    if "sizes" in inputs:
        return {**params, "size": inputs["sizes"].tolist()[2:]}
    return {**params, "scale_factor": inputs["scales"].tolist()[2:]}


# ------------------------------------------------------------------------------------------------- random parameters

# Across the sizes that kernels are cut at.
ACROSS = [*range(1, 10), 63, 64, 65, 127, 128, 129, 255, 256, 257]


def shape(is_special, ranks, most=400):
    """Lengths; for special values few, and none empty."""
    while True:
        sizes = [rng.randint(1, 6) for _ in range(rng.choice(ranks))]
        if sizes and not is_special and rng.random() < 0.3:
            sizes[rng.randrange(len(sizes))] = rng.choice(ACROSS)
        if sizes and not is_special and rng.random() < 0.04:
            sizes[rng.randrange(len(sizes))] = 0
        if math.prod(sizes) <= (48 if is_special else most):
            return sizes


def pair(low, high):
    return [rng.randint(low, high), rng.randint(low, high)]


def activation(*spreads, ranks=(0, 1, 1, 2, 3, 4)):
    """Numbers as wide as one of the spreads, some of them zeros of both signs."""

    def tensor(is_special):
        input = torch.randn(shape(is_special, ranks)) * rng.choice(spreads)
        return torch.where(torch.rand(input.shape) < 0.2, input * 0.0, input) if rng.random() < 0.2 else input

    return tensor


def without_parameters(*spreads):
    return lambda is_special: ({}, {"input": activation(*spreads)(is_special)})


def leaky_relu(is_special):
    params = {} if rng.random() < 0.2 else {"negative_slope": rng.choice([0.01, 0.1, 0.2, 1 / 3, 1.0, 0.0, -0.5, 2, 30.0])}
    return params, {"input": activation(1, 1, 5, 100)(is_special)}


def prelu(is_special):
    input = activation(1, 1, 5, ranks=(0, 1, 2, 2, 3, 4))(is_special)
    shapes = [[], [1]] if input.dim() < 2 else [[], [1], [input.shape[1]], [input.shape[1]]]
    return {}, {"input": input, "weight": torch.randn(rng.choice(shapes)) * 0.5}


def gelu(is_special):
    params = {"approximate": rng.choice(["none", "tanh", "tanh"])} if rng.random() < 0.75 else {}
    return params, {"input": activation(0.1, 1, 1, 3, 10)(is_special)}


def add(is_special):
    full = shape(is_special, (0, 1, 2, 3, 4))
    # Either may be the smaller one, and each in a dimension of its own.
    shapes = [[1 if rng.random() < 0.2 else n for n in full] if rng.random() < 0.5 else full for _ in range(2)]
    if full and rng.random() < 0.4:
        at = rng.randrange(2)
        shapes[at] = shapes[at][rng.randint(0, len(full)):]
    params = {"alpha": rng.choice([1, 2, -1, 0.5, -0.1, 3, 1 / 3, 0, 100.0])} if rng.random() < 0.7 else {}
    return params, {"input": torch.randn(shapes[0]), "other": torch.randn(shapes[1])}


def linear(is_special):
    while True:
        rows = [rng.randint(1, 4)] if is_special else [rng.choice([1, 1, 2, 3, 7, 8, 16, 33, 65])]
        k = rng.randint(1, 6) if is_special else rng.choice([*range(1, 10), 16, 31, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, rng.randint(1, 300)])
        n = rng.randint(1, 6) if is_special else rng.choice([1, 2, 3, 5, 8, 9, 16, 17, 33, 65, rng.randint(1, 100)])
        if max(rows[0] * k, k * n, rows[0] * n) <= 2000:
            break
    kind = rng.random()
    if kind < 0.15:
        rows = []
    elif kind < 0.4:
        rows = [rng.choice([1, 2, 3]), max(rows[0] // 3, 1)]
    if not is_special and rng.random() < 0.05:
        rows = [0, *rows[1:]] if rng.random() < 0.5 else rows
        k = 0 if rows[:1] != [0] else k
    tensors = {"input": torch.randn(*rows, k), "weight": torch.randn(n, k) / math.sqrt(max(k, 1))}
    if rng.random() < 0.1:
        tensors["weight"] = tensors["weight"][0].clone()
    elif rng.random() < 0.7:
        tensors["bias"] = torch.randn(n)
    return {}, tensors


def softmax(is_special):
    input = torch.randn(shape(is_special, (0, 1, 2, 2, 3, 4), 600)) * rng.choice([1, 1, 5, 20])
    if not is_special and rng.random() < 0.15:
        # Masks.
        input = torch.where(torch.rand(input.shape) < 0.3, -inf, input)
    return {"dim": rng.randint(-max(input.dim(), 1), max(input.dim(), 1) - 1)}, {"input": input}


def image(is_special, ranks=(4, 4, 4, 3)):
    sizes = [rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 12), rng.randint(1, 12)][-rng.choice(ranks):]
    if is_special:
        sizes[:-2] = [rng.randint(1, 2) for _ in sizes[:-2]]
        sizes[-2:] = pair(1, 7)
    elif rng.random() < 0.15:
        sizes[-2:] = [rng.choice([1, 2, 3]), rng.choice([31, 33, 63, 64, 65, 127, 129])][::rng.choice([1, -1])]
    if not is_special and len(sizes) == 4 and rng.random() < 0.04:
        sizes[0] = 0
    return torch.randn(sizes)


def adaptive_avg_pool2d(is_special):
    input = image(is_special)
    size = [rng.choice([1, rng.randint(1, 5), rng.randint(1, n), rng.randint(1, 5 if is_special else 2 * n)]) for n in input.shape[-2:]]
    if rng.random() < 0.3:
        size[1] = size[0]
    size = [None if rng.random() < 0.12 else n for n in size]
    return {"output_size": size if rng.random() < 0.6 or None in size or size[0] != size[1] else size[0]}, {"input": input}


SCALES = [2, 2.0, 0.5, 1.5, 1 / 3, 2.7, 0.7, 1.3, 3, 0.99, 1.0, 0.25, 0.6, 1.1, 1.9, 2.5]


def interpolate(is_special):
    while True:
        input, params = image(is_special, (4,)), {}
        mode = rng.choice([None, "nearest", "nearest", "nearest-exact", "nearest-exact", "bilinear", "bilinear", "bilinear", "area"])
        if mode:
            params["mode"] = mode
        if mode == "bilinear" and rng.random() < 0.6:
            params["align_corners"] = rng.random() < 0.6
        rows = input.shape[-2:]
        if rng.random() < 0.5:
            params["size"] = [rng.choice([n, 2 * n, rng.randint(1, 2 * n), rng.randint(1, 12), rng.randint(1, 12)]) for n in rows]
            if rng.random() < 0.2:
                params["size"] = params["size"][0]
            size = params["size"]
        else:
            params["scale_factor"] = rng.choice(SCALES) if rng.random() < 0.4 else [rng.choice(SCALES), rng.choice(SCALES)]
            factors = params["scale_factor"]
            factors = factors if isinstance(factors, list) else [factors] * 2
            size = [math.floor(n * factor) for n, factor in zip(rows, factors)]
        size = size if isinstance(size, list) else [size] * 2
        if min(size) and math.prod(input.shape[:2]) * math.prod(size) <= (100 if is_special else 1200):
            return params, {"input": input}


def pad(is_special):
    mode = rng.choice([None, "constant", "reflect", "reflect", "replicate"])
    params = {"mode": mode} if mode else {}
    if mode in ("reflect", "replicate"):
        count = rng.choice([1, 2, 2, 3])
        input = torch.randn(shape(is_special, (count + 1, count + 2)))
        most = [(n - 1 if mode == "reflect" else 4) for n in reversed(input.shape[-count:])]
        pads = [-1 if rng.random() < 0.1 else rng.randint(0, max(0, min(n, 4))) for n in most for _ in range(2)]
    else:
        input = torch.randn(shape(is_special, (0, 1, 2, 3, 4, 5)))
        pads = [rng.randint(-2, 3) for _ in range(2 * rng.randint(0, input.dim()))]
        if rng.random() < 0.6:
            params["value"] = rng.choice([0.0, 1.5, -2, 0.1, 7, -1e30])
    return {"pad": pads, **params}, {"input": input}


def cat(is_special):
    count = rng.choice([1, 2, 2, 3]) if is_special else rng.choice([1, 2, 2, 3, 3, 4, 5, 8, 20])
    common = shape(is_special, (1, 2, 2, 3, 4), 120)
    dim = rng.randrange(len(common))
    tensors = []
    for _ in range(count):
        length = 0 if not is_special and rng.random() < 0.08 else rng.randint(1, 4)
        if not is_special and rng.random() < 0.05:
            length = rng.choice(ACROSS)
        tensors.append(torch.randn([*common[:dim], length, *common[dim + 1:]]))
    if not is_special and rng.random() < 0.1:
        # One that PyTorch leaves out, whatever the others' shapes.
        tensors.insert(rng.randint(0, count), torch.zeros(0))
    if rng.random() < 0.5:
        dim -= len(common)
    params = {} if dim == 0 and rng.random() < 0.5 else {"dim": dim}
    return params, {"tensors": tensors}


def permute(is_special):
    input = torch.randn(shape(is_special, (0, 1, 2, 3, 3, 4, 4, 5, 6)))
    dims = rng.sample(range(input.dim()), input.dim())
    return {"dims": [d - input.dim() if rng.random() < 0.3 else d for d in dims]}, {"input": input}


DRAWS = {"relu6": without_parameters(1, 5, 5, 100), "hardswish": without_parameters(1, 3, 5, 30),
         "silu": without_parameters(0.1, 1, 5, 30, 100), "tanh": without_parameters(0.01, 1, 1, 5, 30), "log_softmax": softmax}
DRAWS |= {f.__name__: f for f in [leaky_relu, prelu, gelu, add, linear, softmax, adaptive_avg_pool2d, interpolate, pad, cat, permute]}

# What special values are put into.
SPECIAL = {op: lambda op=op: DRAWS[op](True) for op in OPERATORS}


def maker(op):
    """What draws a random call: parameters, tensors, function, scale, and whether it is exact."""

    def make(exact):
        params, tensors = DRAWS[op](False)
        exact = exact and (op == "linear" or op == "add" and params.get("alpha", 1) in (1, 2, -1, 3, 0))
        if exact:
            tensors = {name: torch.randint(-8, 9, t.shape).float() for name, t in tensors.items()}
        return params, tensors, call(op, params), lambda: scale(op, params, tensors), exact or is_exact(op, params)

    return make


# ------------------------------------------------------------------------------------------------- corners


def ramp(*shape):
    return (torch.arange(math.prod(shape), dtype=torch.float32) * 0.37 - 3).reshape(shape)


def numbers(*shape):
    return torch.arange(float(math.prod(shape))).reshape(shape)


def row(*values):
    return torch.tensor(values, dtype=torch.float32)


def corners():
    special = row(nan, -nan, inf, -inf, -0.0, 0.0, 3e38, -3e38)
    activations = [("relu6", {}), ("leaky_relu", {}), ("hardswish", {}), ("silu", {}), ("gelu", {"approximate": "none"}),
                   ("gelu", {"approximate": "tanh"}), ("tanh", {})]
    for op, params in activations:
        # Float32 overflows in hardswish's product, and PyTorch's vectors in gelu; float64 does not.
        counts = "; float64 keeps infinity and 3e38" if op == "hardswish" or params == {"approximate": "none"} else ""
        yield op, f"NaN, infinities, zeros and huge numbers{counts}", params, {"input": special}
        yield op, "batch of 0", params, {"input": torch.zeros(0, 3)}
        yield op, "a scalar", params, {"input": torch.tensor(-0.5 if op != "relu6" else 6.5)}
        yield op, "numbers close to 0", params, {"input": row(1e-8, -1e-8, 1e-4, -1e-4, 1e-20, -1e-20)}

    yield "relu6", "around its bounds", {}, {"input": row(-1e-30, 0, 5.9999995, 6, 6.0000005, 7)}
    yield "hardswish", "at its bounds and beyond", {}, {"input": row(-3, 3, -3.0000002, -2.9999998, 2.9999998, 3.0000002, -4, 4)}
    yield "hardswish", "-infinity is NaN, as it is times 0", {}, {"input": row(-inf, -10, 10, inf)}
    yield "silu", "-infinity is NaN, as it is times 0", {}, {"input": row(-inf, inf)}
    yield "silu", "where exp leaves float32", {}, {"input": row(-80, -87, -88, -89, -90, -104, -1e30, 88, 89, 1e30)}
    for approximate in ("none", "tanh"):
        yield "gelu", "-infinity is NaN, as it is times 0; infinity stays one in float64", {"approximate": approximate}, {"input": row(-inf, inf)}
        yield "gelu", "both tails", {"approximate": approximate}, {"input": row(-3, -4, -5, -5.5, -6, -10, 3, 4, 5, 6, 10)}
        yield "gelu", "a cube that leaves float32", {"approximate": approximate}, {"input": row(1e13, -1e13, 1e30, -1e30)}
    yield "tanh", "saturates", {}, {"input": row(8, 9, 9.1, 20, 44, 45, 89, 1e30, -9, -20, -89, -1e30)}

    for slope, text in [(-1.0, "negative"), (0.0, "of 0"), (3e38, "huge"), (1e-45, "the smallest"), (2, "an integer")]:
        yield "leaky_relu", f"slope {text}", {"negative_slope": slope}, {"input": row(-2.5, -inf, inf, -0.0, 0.0, nan, 4, -1)}

    yield "prelu", "a weight for all channels", {}, {"input": ramp(2, 3, 4), "weight": row(0.25)}
    yield "prelu", "a weight that is a scalar", {}, {"input": ramp(2, 3, 4), "weight": torch.tensor(0.25)}
    yield "prelu", "a weight for each channel", {}, {"input": ramp(2, 3, 4), "weight": row(0.25, -1, 3)}
    yield "prelu", "channels are the second of two dimensions", {}, {"input": ramp(2, 3), "weight": row(0.25, -1, 3)}
    yield "prelu", "one dimension has one channel", {}, {"input": ramp(12), "weight": row(0.25)}
    yield "prelu", "a scalar", {}, {"input": torch.tensor(-2.0), "weight": row(0.25)}
    yield "prelu", "a scalar and a weight that is one", {}, {"input": torch.tensor(-2.0), "weight": torch.tensor(0.25)}
    yield "prelu", "a weight that is NaN, infinite or 0 leaves what is above 0", {}, {"input": row(1, -1, 0, -0.0, inf, -inf, nan, 2).reshape(8, 1).repeat(1, 4), "weight": row(nan, inf, -inf, 0)}
    yield "prelu", "batch of 0", {}, {"input": torch.zeros(0, 3), "weight": row(1, 2, 3)}
    yield "prelu", "nothing in a later dimension", {}, {"input": torch.zeros(2, 3, 0), "weight": row(1, 2, 3)}
    yield "prelu", "no channels, and a weight for none", {}, {"input": torch.zeros(2, 0), "weight": row(0.5)}

    yield "add", "an alpha of 0 leaves NaN beside an infinity", {"alpha": 0}, {"input": row(1, 2, nan), "other": row(inf, 5, 1)}
    yield "add", "a negative alpha", {"alpha": -2.5}, {"input": ramp(2, 3), "other": ramp(2, 3).flip(1)}
    yield "add", "opposite infinities", {}, {"input": row(inf, inf, -inf), "other": row(-inf, inf, 3)}
    yield "add", "an alpha of -1 beside equal infinities", {"alpha": -1}, {"input": row(inf, inf, 1), "other": row(inf, -inf, 1.5)}
    yield "add", "a sum that leaves float32", {}, {"input": row(3e38, -3e38), "other": row(3e38, -3e38)}
    yield "add", "a huge alpha", {"alpha": 1e38}, {"input": row(1, 2, -1), "other": row(2, -3, 4)}
    yield "add", "scalars", {"alpha": 3}, {"input": torch.tensor(1.5), "other": torch.tensor(-2.0)}
    yield "add", "a scalar and a matrix", {}, {"input": torch.tensor(1.5), "other": ramp(2, 3)}
    yield "add", "a matrix and a scalar", {"alpha": 2}, {"input": ramp(2, 3), "other": torch.tensor(1.5)}
    yield "add", "shapes that broadcast in turns", {}, {"input": ramp(2, 1, 3, 1), "other": ramp(1, 4, 1, 2)}
    yield "add", "more dimensions on the other side", {}, {"input": ramp(3), "other": ramp(2, 2, 3)}
    for text, shapes in [("one row for none", [(0, 3), (1, 3)]), ("one element for none", [(0,), (1,)]),
                         ("a scalar for none", [(), (0, 2)]), ("none on both sides", [(2, 0), (2, 0)])]:
        yield "add", f"broadcasts {text}", {}, {"input": torch.zeros(shapes[0]), "other": torch.zeros(shapes[1])}

    weight, bias = ramp(4, 3), row(1, -2, 0.5, 7)
    yield "linear", "nothing to add up gives the bias", {}, {"input": torch.zeros(2, 0), "weight": torch.zeros(4, 0), "bias": bias}
    yield "linear", "nothing to add up, without dimensions before, gives the bias", {}, {"input": torch.zeros(0), "weight": torch.zeros(4, 0), "bias": bias}
    yield "linear", "nothing to add up and no bias gives 0", {}, {"input": torch.zeros(2, 0), "weight": torch.zeros(3, 0)}
    yield "linear", "batch of 0", {}, {"input": torch.zeros(0, 3), "weight": weight, "bias": bias}
    yield "linear", "nothing in a later dimension", {}, {"input": torch.zeros(2, 0, 3), "weight": weight, "bias": bias}
    yield "linear", "no outputs", {}, {"input": ramp(2, 3), "weight": torch.zeros(0, 3), "bias": torch.zeros(0)}
    yield "linear", "one dimension", {}, {"input": ramp(3), "weight": weight, "bias": bias}
    yield "linear", "four dimensions", {}, {"input": ramp(2, 1, 3, 3), "weight": weight, "bias": bias}
    yield "linear", "a weight of one dimension leaves out the last", {}, {"input": ramp(2, 3), "weight": row(1, 2, -1)}
    yield "linear", "a weight of one dimension and three of the input", {}, {"input": ramp(2, 2, 3), "weight": row(1, 2, -1)}
    yield "linear", "one dimension each gives a scalar", {}, {"input": ramp(3), "weight": row(1, 2, -1)}
    yield "linear", "one dimension each and a scalar for a bias", {}, {"input": ramp(3), "weight": row(1, 2, -1), "bias": torch.tensor(0.5)}
    yield "linear", "a bias that is a scalar", {}, {"input": ramp(2, 3), "weight": weight, "bias": torch.tensor(0.5)}
    yield "linear", "a bias of one element for all", {}, {"input": ramp(2, 3), "weight": weight, "bias": row(0.5)}
    yield "linear", "a bias of one row", {}, {"input": ramp(2, 3), "weight": weight, "bias": bias[None]}
    yield "linear", "a bias for each row", {}, {"input": ramp(2, 3), "weight": weight, "bias": ramp(2, 4)}
    yield "linear", "infinity times 0 is NaN", {}, {"input": ramp(1, 3), "weight": torch.tensor([[inf, 0, 0], [1, 1, 1], [nan, 0, 0], [0, 0, -inf]])}
    yield "linear", "an infinity meets a 0", {}, {"input": row(0, 1, inf)[None], "weight": torch.tensor([[1, 1, 0], [1, 1, 1], [inf, 1, 1]])}

    for op in ("softmax", "log_softmax"):
        along = {"dim": 1}
        for text, values in [("infinity makes its row NaN", (inf, 1, 2)), ("nothing but -infinity is NaN", (-inf, -inf, -inf)),
                             ("-infinity is a share of 0", (-inf, 1, 2)), ("a NaN makes its row NaN", (nan, 1, 2)),
                             ("both infinities", (inf, -inf, 0)), ("huge numbers", (3e38, -3e38, 3e38)),
                             ("a difference beyond exp", (0, -90, -110)), ("equal huge numbers", (1e30, 1e30, 1e30))]:
            yield op, text, along, {"input": torch.stack([row(*values), row(1, 2, 3)])}
        yield op, "one element", along, {"input": row(5, -inf, inf, nan, -3e38)[:, None]}
        for dim in (0, -1):
            yield op, f"a scalar, dim {dim}", {"dim": dim}, {"input": torch.tensor(2.5)}
        yield op, "empty rows", along, {"input": torch.zeros(2, 0)}
        yield op, "no rows", along, {"input": torch.zeros(0, 3)}
        yield op, "the first of three dimensions", {"dim": -3}, {"input": ramp(3, 2, 2)}
        yield op, "a row of 5000", {"dim": 0}, {"input": numbers(5000) * 0.61 % 7}

    yield "adaptive_avg_pool2d", "more outputs than inputs", {"output_size": 5}, {"input": ramp(1, 1, 3, 2)}
    yield "adaptive_avg_pool2d", "windows overlap", {"output_size": [3, 4]}, {"input": numbers(1, 1, 5, 7)}
    yield "adaptive_avg_pool2d", "null is the input's", {"output_size": [None, 2]}, {"input": ramp(1, 2, 3, 5)}
    yield "adaptive_avg_pool2d", "both null", {"output_size": [None, None]}, {"input": ramp(1, 1, 3, 5)}
    yield "adaptive_avg_pool2d", "no output rows", {"output_size": [0, 2]}, {"input": ramp(1, 2, 3, 5)}
    yield "adaptive_avg_pool2d", "no outputs", {"output_size": 0}, {"input": ramp(1, 2, 3, 5)}
    yield "adaptive_avg_pool2d", "without a batch", {"output_size": [2, 1]}, {"input": ramp(2, 5, 4)}
    yield "adaptive_avg_pool2d", "batch of 0", {"output_size": 2}, {"input": torch.zeros(0, 2, 4, 4)}
    yield "adaptive_avg_pool2d", "no channels", {"output_size": 2}, {"input": torch.zeros(1, 0, 4, 4)}
    yield "adaptive_avg_pool2d", "no channels, without a batch", {"output_size": 2}, {"input": torch.zeros(0, 4, 4)}
    yield "adaptive_avg_pool2d", "a NaN and infinities spoil their windows", {"output_size": [2, 3]}, {"input": torch.tensor([[nan, 1, 2, inf], [3, 4, 5, 6], [7, 8, 9, -inf]])[None]}

    image = numbers(1, 1, 4, 5)
    for mode in ("nearest", "nearest-exact", "bilinear", "area"):
        m = {"mode": mode}
        for text, params in [
            ("a size that is no multiple", {"size": [3, 7]}), ("the output's length is cut down: 4 * 1.3, 5 * 0.7", {"scale_factor": [1.3, 0.7]}),
            ("a factor is taken as it is, not as output by input: 2.7", {"scale_factor": 2.7}), ("1 / 3", {"scale_factor": 1 / 3}),
            ("a length that stays under a factor above 1", {"scale_factor": [1.2, 1.1]}), ("the size of that", {"size": [4, 5]}),
            ("a factor just above 2 gives just twice as many", {"scale_factor": [2.1, 2.15]}),
            ("up by 2", {"scale_factor": 2}), ("down by 2", {"scale_factor": 0.5}), ("one element", {"size": 1}),
        ]:
            yield "interpolate", f"{mode}: {text}", {**m, **params}, {"input": image}
        yield "interpolate", f"{mode}: of one element", {**m, "size": [2, 3]}, {"input": row(2.5)[None, None, None]}
        yield "interpolate", f"{mode}: batch of 0", {**m, "size": 2}, {"input": torch.zeros(0, 2, 3, 3)}
        # An element whose neighbours are taken with a weight of 0.
        for values in (row(1, inf, 2, 7), row(1, nan, 2, 7)):
            for params in ({"size": [2, 4]}, {"scale_factor": [1, 2]}, {"scale_factor": 2}):
                yield "interpolate", f"{mode}: beside {values[1].item()}", {**m, **params}, {"input": torch.stack([values, ramp(4)])[None, None]}
    for align in (True, False):
        for size in ([1, 1], [1, 9], [7, 1], [2, 2], [8, 10], [3, 3]):
            yield "interpolate", "corners aligned or not", {"size": size, "mode": "bilinear", "align_corners": align}, {"input": image}
    yield "interpolate", "a factor does nothing where corners are aligned", {"scale_factor": [1.9, 2.7], "mode": "bilinear", "align_corners": True}, {"input": image}
    yield "interpolate", "area without outputs", {"size": [0, 2], "mode": "area"}, {"input": image}
    yield "interpolate", "area without channels", {"size": 2, "mode": "area"}, {"input": torch.zeros(1, 0, 3, 3)}

    x = numbers(2, 3) + 1
    yield "pad", "nothing to pad", {"pad": []}, {"input": x}
    yield "pad", "a scalar", {"pad": []}, {"input": torch.tensor(2.5)}
    yield "pad", "the last dimension comes first", {"pad": [1, 0, 0, 2]}, {"input": x}
    yield "pad", "negative ones cut off", {"pad": [-1, 2, 1, -1], "value": 9.0}, {"input": x}
    yield "pad", "negative ones that leave nothing", {"pad": [-1, -2]}, {"input": x}
    yield "pad", "nothing becomes the value", {"pad": [1, 1], "value": 2.0}, {"input": torch.zeros(0)}
    yield "pad", "no rows become rows of the value", {"pad": [0, 0, 2, 1], "value": -1.5}, {"input": torch.zeros(0, 3)}
    yield "pad", "a value of -0, beside NaN and infinities", {"pad": [1, 1], "value": -0.0}, {"input": row(nan, inf, -inf)}
    yield "pad", "the largest value", {"pad": [2, 1], "value": 3.4028234663852886e38}, {"input": x}
    yield "pad", "reflect as far as there is", {"pad": [2, 2], "mode": "reflect"}, {"input": x}
    yield "pad", "reflect with an explicit value of 0", {"pad": [1, 1], "mode": "reflect", "value": 0.0}, {"input": x}
    yield "pad", "reflect leaves one element", {"pad": [0, 0], "mode": "reflect"}, {"input": row(3)[None]}
    yield "pad", "replicate one element", {"pad": [3, 4], "mode": "replicate"}, {"input": row(1, 2)[:, None]}
    yield "pad", "replicate in three dimensions", {"pad": [1, 0, 0, 2, 1, 1], "mode": "replicate"}, {"input": numbers(1, 2, 2, 2, 3)}
    yield "pad", "reflect in three dimensions, without a batch", {"pad": [1, 2, 1, 0, 1, 1], "mode": "reflect"}, {"input": numbers(2, 2, 2, 3)}
    for mode in ("reflect", "replicate"):
        for pads in ([-1, 2], [2, -1], [-1, -1], [1, -3], [-3, 2], [2, -4]):
            yield "pad", f"{mode} before negative ones cut off", {"pad": pads, "mode": mode}, {"input": x}
        yield "pad", f"{mode} of NaN and infinities", {"pad": [2, 2], "mode": mode}, {"input": row(nan, 1, -inf)[None]}
        yield "pad", f"{mode}: batch of 0", {"pad": [1, 1], "mode": mode}, {"input": torch.zeros(0, 2, 3)}

    legacy = torch.zeros(0)
    for text, dim, tensors in [
        ("a single tensor", 0, [x]), ("an empty tensor of one dimension is left out", 1, [legacy, x, legacy, x]),
        ("that last, from behind", -2, [x, legacy]), ("nothing but such", 0, [legacy, legacy]),
        ("nothing but such, along a dimension that there is not", 1, [legacy, legacy]),
        ("no columns", 1, [x, torch.zeros(2, 0), x]), ("no rows", 0, [torch.zeros(0, 3), x]), ("no rows in all", 0, [torch.zeros(0, 3), torch.zeros(0, 3)]),
        ("empty in another dimension", 1, [torch.zeros(0, 3), torch.zeros(0, 2)]), ("twenty tensors", 0, [row(i, -i) for i in range(20)]),
        ("NaN, infinities and -0", 0, [row(nan, -nan), row(inf, -inf), row(-0.0)]), ("such a one before an empty one", 0, [legacy, torch.zeros(0, 3)]),
    ]:
        yield "cat", text, {"dim": dim}, {"tensors": tensors}

    yield "permute", "a scalar", {"dims": []}, {"input": torch.tensor(2.5)}
    yield "permute", "one dimension", {"dims": [-1]}, {"input": ramp(3)}
    yield "permute", "negative dimensions", {"dims": [-1, 0, -2]}, {"input": ramp(2, 3, 4)}
    yield "permute", "none of a dimension", {"dims": [2, 0, 1]}, {"input": torch.zeros(2, 0, 3)}
    yield "permute", "as they are", {"dims": [0, 1, 2]}, {"input": ramp(2, 3, 4)}
    yield "permute", "NaN, infinities and -0", {"dims": [1, 0]}, {"input": row(nan, inf, -inf, -0.0, 1, 2).reshape(2, 3)}
    yield "permute", "eight dimensions", {"dims": [7, 3, 1, 5, 0, 2, 6, 4]}, {"input": ramp(2, 1, 2, 3, 1, 2, 2, 1)}


def refused():
    yield "prelu", "a weight of two dimensions", {}, {"input": ramp(2, 3), "weight": torch.ones(1, 1)}
    yield "prelu", "a weight for each of one dimension", {}, {"input": ramp(3), "weight": row(1, 2, 3)}
    yield "prelu", "several weights for a scalar", {}, {"input": torch.tensor(1.0), "weight": row(1, 2)}
    yield "prelu", "several weights for a batch of 0 with other channels", {}, {"input": torch.zeros(0, 3), "weight": row(1, 2)}
    yield "add", "none and two", {}, {"input": torch.zeros(0, 3), "other": torch.zeros(2, 3)}
    yield "linear", "a scalar", {}, {"input": torch.tensor(1.0), "weight": torch.ones(2, 1)}
    yield "linear", "a weight of one dimension with a bias of one", {}, {"input": ramp(3), "weight": ramp(3), "bias": row(1)}
    yield "linear", "a weight of three dimensions", {}, {"input": ramp(2, 3), "weight": ramp(1, 4, 3)}
    for op in ("softmax", "log_softmax"):
        yield op, "a dimension that a scalar has not", {"dim": 1}, {"input": torch.tensor(1.0)}
    yield "adaptive_avg_pool2d", "a list of one", {"output_size": [2]}, {"input": ramp(1, 1, 3, 3)}
    yield "adaptive_avg_pool2d", "no input rows", {"output_size": 2}, {"input": torch.zeros(1, 2, 0, 4)}
    yield "adaptive_avg_pool2d", "no input rows and no outputs", {"output_size": 0}, {"input": torch.zeros(1, 2, 0, 4)}
    for mode in ("nearest", "nearest-exact", "bilinear"):
        yield "interpolate", f"{mode} without channels", {"size": 2, "mode": mode}, {"input": torch.zeros(2, 0, 3, 3)}
        yield "interpolate", f"{mode}: a factor that leaves nothing", {"scale_factor": 0.3, "mode": mode}, {"input": ramp(1, 1, 3, 4)}
        yield "interpolate", f"{mode} without outputs", {"size": [0, 2], "mode": mode}, {"input": ramp(1, 1, 3, 4)}
    yield "interpolate", "a list of one", {"size": [2]}, {"input": ramp(1, 1, 3, 4)}
    yield "interpolate", "a list of one factor", {"scale_factor": [2.0]}, {"input": ramp(1, 1, 3, 4)}
    x = ramp(2, 3)
    yield "pad", "reflect beyond what there is", {"pad": [3, 0], "mode": "reflect"}, {"input": x}
    yield "pad", "reflect in one dimension alone", {"pad": [1, 1], "mode": "reflect"}, {"input": ramp(3)}
    yield "pad", "reflect of nothing", {"pad": [], "mode": "reflect"}, {"input": x}
    yield "pad", "reflect one of four dimensions", {"pad": [1, 1], "mode": "reflect"}, {"input": ramp(1, 2, 3, 4)}
    yield "pad", "reflect two of two dimensions", {"pad": [1, 1, 1, 1], "mode": "reflect"}, {"input": x}
    yield "pad", "reflect that leaves nothing", {"pad": [-2, -1], "mode": "reflect"}, {"input": x}
    yield "pad", "replicate that leaves nothing", {"pad": [1, -4], "mode": "replicate"}, {"input": x}
    yield "pad", "replicate without elements", {"pad": [3, 4], "mode": "replicate"}, {"input": torch.zeros(2, 0)}
    yield "pad", "reflect of no channels", {"pad": [1, 1], "mode": "reflect"}, {"input": torch.zeros(2, 0, 3)}
    yield "pad", "replicate of no rows, without a batch", {"pad": [1, 1], "mode": "replicate"}, {"input": torch.zeros(0, 3)}
    yield "pad", "reflect with a value", {"pad": [1, 1], "mode": "reflect", "value": 2.0}, {"input": x}
    yield "pad", "cut off more than there is, though more is added", {"pad": [-5, 6]}, {"input": ramp(3)}
    legacy = torch.zeros(0)
    yield "cat", "scalars", {}, {"tensors": [torch.tensor(1.0), torch.tensor(2.0)]}
    yield "cat", "a scalar behind an empty tensor", {}, {"tensors": [legacy, torch.tensor(2.0)]}
    yield "cat", "nothing of two dimensions is not left out", {}, {"tensors": [torch.zeros(0, 0), x]}
    yield "cat", "another empty one is not left out", {"dim": 1}, {"tensors": [x, torch.zeros(0, 3)]}
    yield "cat", "a dimension that the others have not", {"dim": 2}, {"tensors": [legacy, x]}
    yield "permute", "a dimension twice, once from behind", {"dims": [0, -2]}, {"input": x}
    yield "permute", "a dimension of a scalar", {"dims": [0]}, {"input": torch.tensor(1.0)}


def bad_inputs():
    longs = torch.ones(2, 3, dtype=torch.long)
    x = ramp(2, 3)
    for op in ("relu6", "leaky_relu", "hardswish", "silu", "gelu", "tanh"):
        yield op, {}, {}
        yield op, {}, {"input": longs}
    for slope in ("0.1", [0.1], 1e60, -1e60, {"a": 1}):
        yield "leaky_relu", {"negative_slope": slope}, {"input": x}
    for approximate in ("erf", "Tanh", "", 1, True, ["tanh"]):
        yield "gelu", {"approximate": approximate}, {"input": x}

    for weight in (row(1, 2), row(1, 2, 3, 4), torch.ones(1, 3), torch.ones(1, 1), torch.zeros(0), torch.ones(3, dtype=torch.long)):
        yield "prelu", {}, {"input": x, "weight": weight}
    for input in (ramp(3), torch.tensor(1.0), ramp(3, 2), ramp(2, 1, 3), ramp(2, 0), longs):
        yield "prelu", {}, {"input": input, "weight": row(1, 2, 3)}
    yield "prelu", {}, {"input": x}
    yield "prelu", {}, {"weight": row(1)}

    for other in (row(1, 2), ramp(3, 2), ramp(2, 2, 2), torch.zeros(0), torch.zeros(0, 3), longs):
        yield "add", {}, {"input": x, "other": other}
    for alpha in ("2", [2], 1e60, -1e60, True, {"a": 1}):
        yield "add", {"alpha": alpha}, {"input": x, "other": x}
    yield "add", {}, {"input": x}
    yield "add", {}, {"other": x}
    yield "add", {}, {"input": longs, "other": x}

    right = {"input": x, "weight": ramp(4, 3), "bias": row(1, 2, 3, 4)}
    for name, tensors in [
        ("input", [torch.tensor(1.0), ramp(2), ramp(3, 2), ramp(2, 0), longs]),
        ("weight", [torch.tensor(1.0), ramp(3, 4), ramp(4), ramp(1, 4, 3), ramp(0, 3), torch.ones(4, 3, dtype=torch.long)]),
        ("bias", [row(1, 2, 3), torch.zeros(0), ramp(4, 1), ramp(1, 2, 4), torch.ones(4, dtype=torch.long)]),
    ]:
        for tensor in tensors:
            yield "linear", {}, {**right, name: tensor}
    for name in ("input", "weight"):
        yield "linear", {}, {k: v for k, v in right.items() if k != name}

    for op in ("softmax", "log_softmax"):
        for dim in (2, -3, "0", 0.5, [0], True, 2**40, {"a": 1}):
            yield op, {"dim": dim}, {"input": x}
        yield op, {"dim": -2}, {"input": ramp(3)}
        yield op, {"dim": 1}, {"input": torch.tensor(1.0)}
        yield op, {}, {"input": x}
        yield op, {"dim": 0}, {}
        yield op, {"dim": 0}, {"input": longs}

    right = {"input": ramp(1, 2, 4, 5)}
    for size in (-1, [2, -1], [2], [1, 2, 3], [], "2", 2.0, [1.5, 2], [2, "1"], True, {"a": 1}):
        yield "adaptive_avg_pool2d", {"output_size": size}, right
    for input in (torch.tensor(1.0), ramp(4), ramp(4, 5), ramp(1, 1, 2, 4, 5), ramp(1, 2, 0, 5), ramp(1, 2, 4, 0), torch.ones(1, 4, 5, dtype=torch.long)):
        yield "adaptive_avg_pool2d", {"output_size": 2}, {"input": input}
    yield "adaptive_avg_pool2d", {}, right
    yield "adaptive_avg_pool2d", {"output_size": 2}, {}

    for wrong in [{"size": v} for v in (0, -1, [2, 0], [2], [1, 2, 3], [], "2", 2.5, [2, 1.5], [2, None], True)]:
        yield "interpolate", wrong, right
    for wrong in [{"scale_factor": v} for v in (0, 0.0, -1.0, [2.0, -1.0], 0.1, [1.0], [1.0, 2.0, 3.0], [], "2", [2.0, "1"], [2.0, None], 1e60)]:
        yield "interpolate", wrong, right
    yield "interpolate", {}, right
    yield "interpolate", {"size": 2, "scale_factor": 0.5}, right
    for mode in ("nearest", "nearest-exact", "area"):
        for align in (True, False):
            yield "interpolate", {"size": 2, "mode": mode, "align_corners": align}, right
    for wrong in [{"mode": v} for v in ("bicubic", "linear", "trilinear", "Nearest", "", 1, ["area"])] + [{"mode": "bilinear", "align_corners": v} for v in (1, "true", [True])]:
        yield "interpolate", {"size": 2, **wrong}, right
    for input in (torch.tensor(1.0), ramp(4), ramp(4, 5), ramp(2, 4, 5), ramp(1, 1, 2, 4, 5), ramp(1, 2, 0, 5), torch.ones(1, 1, 2, 3, dtype=torch.long)):
        yield "interpolate", {"size": 2, "mode": "bilinear"}, {"input": input}
    yield "interpolate", {"size": 2}, {}

    for wrong in [{"pad": v} for v in ([1], [1, 1, 1], [1] * 6, 1, "1", [1.0, 1], [1, "1"], [1, None], [-4, 0], [-2, -2], [0, 0, -3, 0], [0, -4], {"a": 1})]:
        yield "pad", wrong, {"input": x}
    for wrong in [{"mode": v} for v in ("circular", "edge", "Constant", "", 1, ["reflect"])] + [{"value": v} for v in ("1", [1.0], 1e60)]:
        yield "pad", {"pad": [1, 1], **wrong}, {"input": x}
    for mode in ("reflect", "replicate"):
        for pads in ([1], [], [1, 1, 1], [1, 1, 1, 1], [-3, 0], [-2, -1], [0, -4]):
            yield "pad", {"pad": pads, "mode": mode}, {"input": x}
        for input in (torch.tensor(1.0), ramp(3), ramp(2, 2, 2, 2), torch.zeros(2, 0), torch.zeros(0, 3)):
            yield "pad", {"pad": [0, 0], "mode": mode}, {"input": input}
        yield "pad", {"pad": [1, 1], "mode": mode, "value": 1.0}, {"input": x}
    for pads, input in [([3, 0], x), ([0, 3], x), ([1, 1], row(1)[None]), ([1, 1, 3, 1], ramp(1, 3, 4)), ([0, 0, 0, 0, 2, 0], ramp(1, 2, 2, 2))]:
        yield "pad", {"pad": pads, "mode": "reflect"}, {"input": input}
    yield "pad", {}, {"input": x}
    yield "pad", {"pad": [1, 1]}, {}
    yield "pad", {"pad": [1, 1]}, {"input": longs}

    for tensors in ([], [x, ramp(2, 4)], [x, ramp(3)], [x, ramp(1, 2, 3)], [torch.tensor(1.0)], [x, torch.tensor(1.0)], [x, longs], [longs],
                    [torch.zeros(0, 3), torch.zeros(0, 2)], [x, torch.zeros(1, 0)]):
        yield "cat", {}, {"tensors": tensors}
    for dim in (2, -3, "0", 0.5, [0], True, {"a": 1}, 2**40):
        yield "cat", {"dim": dim}, {"tensors": [x, x]}
    yield "cat", {"dim": 1}, {"tensors": [ramp(3), ramp(3)]}
    yield "cat", {}, {}

    for dims in ([0], [0, 1, 2], [0, 0], [0, -2], [0, 2], [-3, 0], [], 0, "01", [0.0, 1], [0, "1"], [0, None], [0, 2**40], {"a": 1}):
        yield "permute", {"dims": dims}, {"input": x}
    yield "permute", {"dims": [0]}, {"input": torch.tensor(1.0)}
    yield "permute", {}, {"input": x}
    yield "permute", {"dims": [1, 0]}, {}
    yield "permute", {"dims": [1, 0]}, {"input": longs}
