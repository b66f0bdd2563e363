"""Calls that ask for outputs that an operator gives on request: roi_pool's argmax, batch_norm's saved statistics."""

import math
import random

import torch
from torchvision.ops._utils import convert_boxes_to_roi_format

import special

HEADING = "## Outputs that are given on request"
OPERATORS = ["roi_pool", "batch_norm"]

inf, nan = math.inf, math.nan
LOWEST = torch.finfo(torch.float32).min

rng = random.Random("optional_outputs")


def roi_pool(params):
    """All that torchvision's operator gives, in the type of its input."""
    size = params["output_size"]
    size = size if isinstance(size, list) else [size, size]

    def call(input, boxes):
        boxes = convert_boxes_to_roi_format(boxes) if isinstance(boxes, list) else boxes
        boxes = boxes.to(input.dtype)
        output, argmax = torch.ops.torchvision.roi_pool(input, boxes, params.get("spatial_scale", 1.0), *size)
        return {"output": output, "argmax": argmax}

    return call


def has_the_same_bins(params, input, boxes):
    """Whether float64 cuts the boxes into the same bins: then ramps have their maxima in the same places."""
    ramp = torch.arange(float(input[0, 0].numel())).reshape(1, 1, *input.shape[2:]).expand(len(input), 1, -1, -1)
    argmaxes = lambda kind: [roi_pool(params)((ramp * sign).to(kind), boxes)["argmax"] for sign in (1, -1)]
    return all(map(torch.equal, argmaxes(torch.float32), argmaxes(torch.float64)))


def batch_norm(params):
    """All that training gives: the updated running statistics as well, where there are any."""

    def call(input, running_mean=None, running_var=None, weight=None, bias=None):
        output, saved_mean, saved_invstd = torch.ops.aten.native_batch_norm(
            input, weight, bias, running_mean, running_var, True, params.get("momentum", 0.1), params.get("eps", 1e-5))
        outputs = {"output": output, "saved_mean": saved_mean, "saved_invstd": saved_invstd}
        if running_mean is not None:
            outputs |= {"running_mean": running_mean, "running_var": running_var}
        return outputs

    return call


def box(*corners, image=0):
    return torch.tensor([[image, *corners]], dtype=torch.float32)


def with_ties(input):
    """Few values, so that most bins have several maxima; zeros of both signs among them."""
    return torch.where(torch.rand(input.shape) < 0.5, input.sign() * 0.0, (input.sign() * 2).round())


def roi_pool_corners():
    """(text, params, tensors) for each corner."""
    one = {"output_size": 1}
    image = lambda rows: torch.tensor(rows, dtype=torch.float32)[None, None]
    whole = box(0, 0, 9, 9)
    yield "of equal maxima the first counts, in row-major order", one, {"input": image([[1, 5, 2], [5, 5, 0]]), "boxes": box(0, 0, 2, 1)}
    yield "-0 is not above 0, nor 0 above -0", one, {"input": torch.tensor([[0.0, -0.0], [-0.0, 0.0]]).reshape(1, 2, 1, 2), "boxes": box(0, 0, 1, 0)}
    yield "all values equal: the first of each bin", {"output_size": 2}, {"input": torch.full((1, 2, 5, 6), 3.0), "boxes": box(0, 0, 5, 4)}
    yield "an empty bin has -1", {"output_size": [2, 3]}, {"input": torch.arange(1.0, 25.0).reshape(1, 2, 3, 4), "boxes": torch.cat([box(0, 0, 3, 2), box(2, 1, 9, 9), box(7, 7, 9, 9), box(-9, -9, -5, -5)])}
    yield "positions are those of one plane, whatever image and channel", {"output_size": 2}, {"input": torch.arange(1.0, 121.0).reshape(2, 3, 4, 5), "boxes": torch.cat([box(1, 1, 4, 3, image=1), box(0, 0, 2, 2)])}
    yield "a NaN is never the maximum", {"output_size": [1, 2]}, {"input": image([[nan, 1, 2, nan], [3, nan, nan, 1]]), "boxes": box(0, 0, 3, 1)}
    yield "nothing but NaN: the lowest finite number, from nowhere", one, {"input": image([[nan, -nan], [-nan, nan]]), "boxes": box(0, 0, 1, 1)}
    yield "nothing but -infinity: the lowest finite number, from nowhere", one, {"input": image([[-inf, -inf]]), "boxes": box(0, 0, 1, 0)}
    yield "the lowest finite number itself is not above where the search starts", one, {"input": image([[LOWEST, -inf]]), "boxes": box(0, 0, 1, 0)}
    yield "the number above it is", one, {"input": image([[LOWEST, -inf, -3.4028233e38, nan]]), "boxes": box(0, 0, 3, 0)}
    # Its float32 is -infinity.
    below = torch.tensor([[-1e39, -1e300], [-5e38, -inf]], dtype=torch.float64)[None, None]
    yield "float64's search starts there too: below it there is no maximum", one, {"input": below, "boxes": box(0, 0, 1, 1)}
    yield "infinity is the maximum, the first of several", one, {"input": image([[3, inf, nan], [inf, 4, -inf]]), "boxes": whole}
    yield "-infinity beside a number is not", one, {"input": image([[-inf, -3e38], [-inf, nan]]), "boxes": whole}
    yield "a reversed box is one position", {"output_size": 2}, {"input": torch.arange(20.0).reshape(1, 1, 4, 5), "boxes": box(3, 2, 1, 0)}
    yield "bins that share positions have the same maximum", {"output_size": [5, 4]}, {"input": torch.randn(1, 2, 6, 6), "boxes": box(1, 1, 3, 2)}
    yield "halves are rounded away from 0", {"output_size": 2, "spatial_scale": 0.5}, {"input": torch.randn(1, 1, 7, 8), "boxes": torch.cat([box(1, 3, 9, 11), box(-1, -3, 5, 5)])}
    yield "bin edges are float32's: 7 bins of 10 rows", {"output_size": 7}, {"input": torch.arange(144.0).reshape(1, 1, 12, 12), "boxes": whole}
    yield "no boxes", {"output_size": 2}, {"input": torch.randn(1, 2, 3, 3), "boxes": torch.zeros(0, 5)}
    # Long bins, which some devices cut.
    yield "one bin over many rows", one, {"input": torch.randn(1, 5, 700, 2), "boxes": box(0, 0, 1, 699)}
    yield "one bin over many columns", one, {"input": torch.randn(1, 1, 2, 3000), "boxes": box(0, 0, 2999, 1)}
    ties = torch.randn(1, 1, 90, 100).round()
    yield "a large bin with many maxima", one, {"input": ties, "boxes": torch.cat([box(0, 0, 99, 89), box(40, 30, 500, 500)])}
    late = torch.zeros(1, 1, 80, 90)
    late[0, 0, 79, 89] = late[0, 0, 79, 88] = 1.0
    yield "a large bin whose maximum comes last", one, {"input": late, "boxes": whole * 10}
    nans = torch.full((1, 2, 70, 60), nan)
    nans[0, 1, 50, 7] = -inf
    nans[0, 1, 60, 31] = -5.0
    yield "one number in a large bin of NaN", one, {"input": nans, "boxes": box(0, 0, 59, 69)}


def roi_pools(make, count):
    """As `make` draws them, half of them with ties."""
    for index in range(count):
        params, tensors, *_ = make(rng.random() < 0.3)
        while tensors["input"].numel() > 2500:
            params, tensors, *_ = make(rng.random() < 0.3)
        if index % 2:
            tensors["input"] = with_ties(tensors["input"])
        yield params, tensors


def special_calls(operator, count):
    """Calls on special values, of those that float32 does not overflow on."""
    calls = special.draw(operator)
    for params, tensors in calls:
        if count == 0:
            break
        if operator is special.batch_norm and (not params["training"] or special.overflows("batch_norm", params, tensors, None)):
            continue
        count -= 1
        yield params, tensors


def batch_norm_corners():
    training = {"training": True}
    column = lambda *channels: torch.tensor(channels, dtype=torch.float32).T.contiguous()
    running = {"running_mean": torch.tensor([0.5, -1.0]), "running_var": torch.tensor([2.0, 0.25])}
    yield "saved_invstd is by the biased variance, running_var by the unbiased one", training, {"input": column([1, 2, 6], [0, 4, 5]), **running}
    yield "momentum 1: running_mean is saved_mean", {**training, "momentum": 1.0}, {"input": torch.randn(4, 2, 5), **running}
    yield "momentum 0 changes nothing that is saved", {**training, "momentum": 0.0}, {"input": torch.randn(4, 2, 5), **running}
    for eps in (1e-30, 1e-20, 1e-12, 1e-3, 10.0):
        yield "a constant channel's saved_invstd is 1 / sqrt(eps)", {**training, "eps": eps}, {"input": torch.tensor([3.0, -0.5, 0.0]).repeat(2, 1)}
    yield "weight and bias change nothing that is saved, not even infinities and NaN", training, {"input": torch.randn(3, 4, 2), "weight": torch.tensor([inf, nan, 0.0, -2.0]), "bias": torch.tensor([1.0, 2.0, -inf, nan])}
    yield "nor do running statistics", training, {"input": torch.randn(3, 2, 4), "running_mean": torch.tensor([nan, 3.0]), "running_var": torch.tensor([1.0, inf])}
    yield "infinity: its mean is infinite, its deviation NaN, in its channel alone", training, {"input": column([inf, 2, 3], [-inf, 1, 1], [1, 5, 4])}
    yield "opposite infinities: both are NaN", training, {"input": column([inf, -inf, 3], [1, 5, 4])}
    yield "NaN: both are NaN, in its channel alone", training, {"input": column([1, nan, 3], [1, 5, 4], [-nan, 2, 2])}
    yield "the square of a huge number: saved_invstd is close to 0", training, {"input": column([3e38, 2, 3], [-3e38, 0, 0])}
    yield "a mean of 100,000 with a spread of 1", training, {"input": torch.rand(64, 1, 8) + 100000}
    yield "numbers that cancel in the mean", training, {"input": column([1e6, -1e6, 1, 0], [-3e5, 1e5, 2e5, 3])}
    yield "two values a channel", training, {"input": torch.randn(2, 3, 1, 1)}
    yield "one image", training, {"input": torch.randn(1, 3, 4, 5)}
    yield "large values, whose squares float32 holds", training, {"input": torch.randn(3, 2, 5) * 1e15}
    yield "small values beside a small eps", {**training, "eps": 1e-20}, {"input": torch.randn(3, 2, 5) * 1e-9}
    yield "small values below the root of eps", {**training, "eps": 1e-5}, {"input": torch.randn(3, 2, 5) * 1e-12}
    yield "channels of very different sizes", training, {"input": torch.randn(6, 4) * torch.tensor([1e-3, 1.0, 1e3, 1e6]), "weight": torch.tensor([1e3, 1.0, 1e-3, 1e-6])}


def without_statistics():
    """Lines on what PyTorch saves no statistics of."""
    inference = torch.ops.aten.native_batch_norm(torch.ones(3, 2), None, None, torch.zeros(2), torch.ones(2), False, 0.1, 1e-5)
    assert inference[1].shape == inference[2].shape == (0,)
    try:
        batch_norm({})(torch.zeros(0, 2))
    except RuntimeError as error:
        reason = str(error)
    return ["In inference `native_batch_norm` saves nothing: its statistics have no elements. An input without elements,",
            f"which `batch_norm` takes, it refuses: {reason}."]


EPS = [1e-12, 1e-8, 1e-7, 1e-5, 1e-3, 0.1, 1.0, 100.0]


def batch_norms(make, count):
    """As `make` draws them, in training, with eps of several sizes."""
    for index in range(count):
        params, tensors, *_ = make(False)
        while not params.get("training") or not 1 <= tensors["input"].numel() <= 1500 or tensors["input"][:, 0].numel() == 1:
            params, tensors, *_ = make(False)
        if index % 2:
            params["eps"] = EPS[index // 2 % len(EPS)]
        yield params, {name: tensor for name, tensor in tensors.items() if tensor is not None}


def calls(op, make):
    """(text of a corner or None, params, tensors) of every call; `make` draws some of this operator."""
    corners, drawn = (roi_pool_corners, roi_pools) if op == "roi_pool" else (batch_norm_corners, batch_norms)
    yield from corners()
    for params, tensors in [*drawn(make, 45), *special_calls(getattr(special, op), 25 if op == "roi_pool" else 45)]:
        yield None, params, tensors
