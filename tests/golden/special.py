"""Infinities, NaN and numbers near float32's largest in every float argument of every operator but boxes."""

import math
import random

import torch

import networks
import sources

inf, nan = math.inf, math.nan
SPECIAL = [inf, -inf, nan, -nan, 3e38, -3e38]
LARGEST = torch.finfo(torch.float32).max

rng = random.Random(7)
CASES = 80
# Twice as many of these.
MANY_ARGUMENTS = {"conv2d", "conv_transpose2d", "batch_norm", "cross_entropy", "linear"}


def pair(low, high):
    return [rng.randint(low, high), rng.randint(low, high)]


def floats(*shape):
    return torch.randn(shape)


def spoil(tensor, values):
    """Puts special values into some places, or now and then everywhere; of a list, into one tensor."""
    if isinstance(tensor, list):
        at = rng.randrange(len(tensor))
        return [spoil(t, values) if i == at else t for i, t in enumerate(tensor)]
    flat = tensor.flatten()
    if rng.random() < 0.05:
        flat[:] = rng.choice(values)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        flat[rng.randrange(flat.numel())] = rng.choice(values)
    return flat.reshape(tensor.shape)


def image(channels=None, low=3, high=9):
    return floats(rng.choice([1, 1, 2]), channels or rng.choice([1, 2, 3]), rng.randint(low, high), rng.randint(low, high))


def pool():
    params = {"kernel_size": pair(1, 3), "stride": pair(1, 2)}
    params["padding"] = [rng.randint(0, k // 2) for k in params["kernel_size"]]
    params["ceil_mode"] = rng.random() < 0.3
    return params


def max_pool2d():
    return {**pool(), "return_indices": True}, {"input": image()}


def avg_pool2d():
    params = {**pool(), "count_include_pad": rng.random() < 0.5}
    if rng.random() < 0.3:
        params["divisor_override"] = rng.choice([1, 3, -2])
    return params, {"input": image()}


def kernels(transposed):
    groups = rng.choice([1, 1, 1, 2])
    channels, outputs = rng.choice([1, 2, 5]), rng.choice([1, 2, 3, 17])
    # Kernels of 3 by 3 with stride 1 have algorithms of their own, and so have those of 1 by 1.
    kind = rng.random()
    kernel = [3, 3] if kind < 0.4 else [1, 1] if kind < 0.5 else pair(1, 4)
    params = {"padding": pair(0, 2), "groups": groups}
    if kind > 0.4:
        params |= {"stride": pair(1, 3), "dilation": pair(1, 2)}
    shape = [groups * channels, outputs, *kernel] if transposed else [groups * outputs, channels, *kernel]
    tensors = {"input": image(groups * channels), "weight": floats(*shape)}
    if rng.random() < 0.7:
        tensors["bias"] = floats(groups * outputs)
    return params, tensors


def conv2d():
    if rng.random() < 0.1:
        # As many channels as Winograd's F(4x4) takes.
        tensors = {"input": image(64, 3, 6), "weight": floats(rng.choice([1, 3]), 64, 3, 3) / 8}
        return {"padding": pair(0, 1)}, tensors
    params, tensors = kernels(False)
    if rng.random() < 0.2:
        params = {"padding": "same", "groups": params["groups"]}
    return params, tensors


def conv_transpose2d():
    params, tensors = kernels(True)
    if "stride" in params and rng.random() < 0.4:
        params["output_padding"] = [max(s, d) - 1 for s, d in zip(params["stride"], params["dilation"])]
    if rng.random() < 0.15:
        # Every input becomes a block of its own.
        params = {"stride": list(tensors["weight"].shape[2:]), "groups": params["groups"]}
    return params, tensors


def flatten():
    return {"start_dim": rng.choice([0, 1, -2])}, {"input": floats(2, 3, 4)}


def sigmoid():
    return {}, {"input": floats(*[rng.randint(1, 6) for _ in range(rng.randint(1, 3))])}


def relu():
    return sigmoid()


def roi_pool():
    tensors = {"input": image(low=4)}
    boxes = torch.rand(rng.randint(1, 3), 4) * 8
    image_index = torch.randint(0, tensors["input"].shape[0], (boxes.shape[0], 1)).float()
    tensors["boxes"] = torch.cat([image_index, boxes], 1)
    return {"output_size": pair(1, 3)}, tensors


def batch_norm():
    channels = rng.choice([1, 2, 3, 5])
    # None, small ones, ones of whole blocks, and neither.
    plane = rng.choice([[], [3], [4], [3, 4], [8, 8], [5, 7], [41]])
    tensors = {"input": floats(rng.choice([2, 3, 5]), channels, *plane)}
    params = {"training": rng.random() < 0.5}
    if not params["training"] or rng.random() < 0.7:
        tensors |= {"running_mean": floats(channels), "running_var": torch.rand(channels) + 0.1}
    if rng.random() < 0.6:
        tensors["weight"] = floats(channels)
    if rng.random() < 0.6:
        tensors["bias"] = floats(channels)
    if rng.random() < 0.3:
        params["momentum"] = rng.choice([0.0, 0.5, 1.0])
    return params, tensors


def cross_entropy():
    classes = rng.choice([1, 2, 3, 4, 8, 40])
    shape = [classes] if rng.random() < 0.1 else [rng.choice([1, 3, 6]), classes, *rng.choice([[], [], [2], [2, 3]])]
    rows = [] if len(shape) == 1 else [shape[0], *shape[2:]]
    params = {"reduction": rng.choice(["none", "none", "mean", "sum"])}
    if rng.random() < 0.5:
        params["label_smoothing"] = rng.choice([0.1, 0.5, 1.0])
    tensors = {"input": floats(*shape)}
    if rng.random() < 0.5:
        tensors["target"] = torch.randint(0, classes, rows)
        if rng.random() < 0.4:
            params["ignore_index"] = rng.choice([-100, 0])
    else:
        tensors["target"] = torch.rand(shape)
    if rng.random() < 0.6:
        tensors["weight"] = torch.rand(classes) + 0.05
    return params, tensors


def mse_loss():
    shape = [rng.choice([1, 2, 3, 8]) for _ in range(rng.randint(1, 3))]
    other = [1 if rng.random() < 0.2 else length for length in shape]
    return {"reduction": rng.choice(["none", "mean", "sum"])}, {"input": floats(*shape), "target": floats(*other)}


def overflows(op, params, tensors, output):
    """Whether float32 overflows on the way to what float64 has finite, or beside an infinity: then the order of a sum
    decides what comes of it."""
    if op in ("max_pool2d", "flatten", "sigmoid", "relu", "roi_pool"):
        return False
    if op in networks.OPERATORS:
        return networks.overflows(op, params, tensors, output)
    huge = {name: (t.abs() > 1e18) & t.isfinite() if t.is_floating_point() else None for name, t in tensors.items()}
    count = {name: int(h.sum()) for name, h in huge.items() if h is not None}
    if op == "batch_norm":
        # Of several huge numbers in a mean, or in a difference, float64 leaves what its own rounding makes.
        return count["input"] > 1 if params["training"] else count["input"] > 0 and count["running_mean"] > 0
    if op == "cross_entropy":
        # One huge number overflows in float64's result as well, unless that is divided.
        is_alone = output.isfinite().all() or all(t.isfinite().all() for t in tensors.values())
        most = 1 if params["reduction"] != "mean" and is_alone else 0
        return sum(count.values()) > most
    if op == "mse_loss":
        return False
    # Sums of products: of magnitudes, as if every special value were finite.
    function = sources.call(op, params)
    finite = {n: torch.where(t.isfinite(), t, torch.zeros(())).double() for n, t in tensors.items()}
    signed = function(**finite)["output"]
    sizes = function(**{n: t.abs() for n, t in finite.items()})["output"].abs()
    if op == "avg_pool2d":
        sizes = sizes * abs(params.get("divisor_override", math.prod(params["kernel_size"])))
    return bool(((sizes > LARGEST) & ((sizes > signed.abs() * 1.01) | ~output.isfinite())).any())


OPERATORS = {f.__name__: f for f in [max_pool2d, avg_pool2d, conv2d, conv_transpose2d, flatten, sigmoid, roi_pool, batch_norm,
                                     cross_entropy, mse_loss, relu]}
OPERATORS |= networks.SPECIAL


def draw(operator):
    """Parameters and tensors of call after call, some of which PyTorch refuses."""
    turn = 0
    while True:
        params, tensors = operator()
        names = [n for n, t in tensors.items() if isinstance(t, list) or t.is_floating_point() and n != "boxes"]
        # Each argument in turn, and now and then more than one.
        chosen = {names[turn % len(names)]} | {n for n in names if rng.random() < 0.15}
        # Beside huge outputs a case's bound lets small ones be anything, so most calls have none.
        values = SPECIAL if rng.random() < 0.5 else SPECIAL[:4]
        for name in sorted(chosen):
            tensors[name] = spoil(tensors[name], values)
        if "running_var" in tensors and rng.random() < 0.1:
            tensors["running_var"][0] = 0.0
        turn += 1
        yield params, tensors
