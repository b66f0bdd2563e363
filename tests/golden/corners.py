"""Where PyTorch's answer is not obvious: (operator, what is asked, parameters, tensors), and calls that must be refused."""

import math

import torch

import networks
from networks import ramp

inf, nan = math.inf, math.nan


def image(rows):
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def classes(*values):
    return torch.tensor(values)


def corners():
    square = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    indices = {"return_indices": True}
    for text, values in [
        ("a NaN wins its window", [[1, nan], [3, 2]]),
        ("of two NaN the later gives the index", [[nan, 1], [2, nan]]),
        ("a NaN with its sign set is a NaN too", [[1, -nan], [3, 2]]),
        ("a NaN beside infinity wins", [[inf, nan], [-inf, 0]]),
        ("infinity wins", [[1, inf], [-inf, 2]]),
        ("a window of -infinity gives -infinity, index of its first", [[-inf, -inf], [-inf, -inf]]),
        ("of equal values the first gives the index", [[5, 5], [5, 5]]),
        ("-0 and +0 are equal, the first is taken", [[-0.0, 0.0], [0.0, -0.0]]),
        ("+0 before -0 stays", [[0.0, -0.0], [-0.0, 0.0]]),
        ("the smallest denormals are told apart", [[1e-45, 3e-45], [0.0, -1e-45]]),
    ]:
        yield "max_pool2d", text, {"kernel_size": 2, **indices}, {"input": image(values)}
    yield "max_pool2d", "padding is never chosen, not even over -infinity", {"kernel_size": 3, "padding": 1, **indices}, {"input": image([[-inf, -inf], [-inf, -inf]])}
    yield "max_pool2d", "negative values beside padding", {"kernel_size": 3, "padding": 1, "stride": 1, **indices}, {"input": -square}
    yield "max_pool2d", "ceil_mode: a last window that starts inside counts", {"kernel_size": 2, "ceil_mode": True, **indices}, {"input": square}
    yield "max_pool2d", "ceil_mode: one that starts in the padding behind does not", {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True, **indices}, {"input": square}
    yield "max_pool2d", "ceil_mode: a kernel larger than the input", {"kernel_size": 4, "stride": 3, "ceil_mode": True, **indices}, {"input": square}
    yield "max_pool2d", "dilation steps over the rows between", {"kernel_size": 2, "dilation": 2, **indices}, {"input": square}
    yield "max_pool2d", "a dilated window wholly in the padding and behind the input", {"kernel_size": 2, "dilation": 5, "padding": 1, "stride": 4, "ceil_mode": True, **indices}, {"input": square}
    yield "max_pool2d", "padding is held to half of kernel_size without its dilation", {"kernel_size": 3, "dilation": 2, "padding": 1, **indices}, {"input": ramp(1, 1, 7, 7)}
    yield "max_pool2d", "batch of 0", {"kernel_size": 2, **indices}, {"input": torch.zeros(0, 2, 4, 4)}
    yield "max_pool2d", "without a batch", {"kernel_size": 2, **indices}, {"input": ramp(2, 4, 4)}

    for include in (True, False):
        for ceil in (True, False):
            for override in (None, 3, -2):
                params = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": ceil, "count_include_pad": include}
                if override:
                    params["divisor_override"] = override
                text = f"divisor with ceil_mode {ceil}, count_include_pad {include}, divisor_override {override}"
                yield "avg_pool2d", text, params, {"input": ramp(1, 1, 4, 6)}
    yield "avg_pool2d", "a NaN makes its windows NaN", {"kernel_size": 2, "stride": 1}, {"input": image([[nan, 1, 2], [3, 4, 5]])}
    yield "avg_pool2d", "infinities stay, opposite ones give NaN", {"kernel_size": 2, "stride": 1}, {"input": image([[inf, 1, -inf], [3, inf, 5]])}
    yield "avg_pool2d", "values whose sum cancels", {"kernel_size": [1, 3]}, {"input": image([[1e8, 1, -1e8]])}
    yield "avg_pool2d", "ceil_mode: a kernel larger than the input", {"kernel_size": 4, "stride": 3, "ceil_mode": True}, {"input": square}
    yield "avg_pool2d", "batch of 0", {"kernel_size": 2}, {"input": torch.zeros(0, 2, 4, 4)}

    for kernel in ([2, 2], [3, 2], [4, 1], [1, 1], [2, 5]):
        for dilation in (1, 2):
            weight = ramp(1, 1, *kernel)
            yield "conv2d", f"padding 'same' with kernel {kernel}, dilation {dilation}", {"padding": "same", "dilation": dilation}, {"input": ramp(1, 1, 6, 7), "weight": weight}
    yield "conv2d", "padding larger than the kernel", {"padding": 5}, {"input": square, "weight": ramp(1, 1, 2, 2)}
    yield "conv2d", "stride larger than kernel and input", {"stride": 9}, {"input": square, "weight": ramp(1, 1, 2, 2)}
    yield "conv2d", "a NaN spoils the outputs that it is in", {}, {"input": image([[nan, 1, 2], [3, 4, 5], [6, 7, 8]]), "weight": torch.ones(1, 1, 2, 2)}
    yield "conv2d", "infinity times 0 is NaN", {}, {"input": image([[inf, 1, 2], [3, 4, 5]]), "weight": image([[0, 1], [1, 1]])}
    yield "conv2d", "depthwise with two outputs a channel", {"groups": 3, "padding": 1}, {"input": ramp(2, 3, 5, 5), "weight": ramp(6, 1, 3, 3), "bias": ramp(6)}
    yield "conv2d", "batch of 0", {"padding": 1}, {"input": torch.zeros(0, 2, 5, 5), "weight": ramp(3, 2, 3, 3)}
    yield "conv2d", "without a batch", {}, {"input": ramp(2, 5, 5), "weight": ramp(3, 2, 3, 3), "bias": ramp(3)}

    for stride, dilation, output_padding in [(2, 1, 1), (3, 1, 2), (1, 2, 1), ([1, 3], [4, 1], [3, 2]), (2, 3, 2)]:
        params = {"stride": stride, "dilation": dilation, "output_padding": output_padding}
        text = f"output_padding {output_padding} with stride {stride}, dilation {dilation}"
        yield "conv_transpose2d", text, params, {"input": ramp(1, 1, 3, 4), "weight": ramp(1, 1, 3, 2), "bias": torch.tensor([0.5])}
    yield "conv_transpose2d", "what output_padding adds gets the bias alone", {"stride": 3, "output_padding": 2}, {"input": ramp(1, 1, 2, 2), "weight": ramp(1, 1, 1, 1), "bias": torch.tensor([7.0])}
    yield "conv_transpose2d", "a stride larger than the kernel leaves gaps of bias", {"stride": 4}, {"input": ramp(1, 1, 2, 2), "weight": ramp(1, 1, 2, 2), "bias": torch.tensor([7.0])}
    yield "conv_transpose2d", "padding cuts off all but one element", {"padding": 1}, {"input": ramp(1, 1, 1, 1), "weight": ramp(1, 1, 3, 3)}
    yield "conv_transpose2d", "a NaN spoils the outputs that it is in", {}, {"input": image([[nan, 1], [2, 3]]), "weight": torch.ones(1, 1, 2, 2)}
    yield "conv_transpose2d", "batch of 0", {}, {"input": torch.zeros(0, 2, 3, 3), "weight": ramp(2, 3, 2, 2)}

    yield "flatten", "a scalar becomes one element", {}, {"input": torch.tensor(3.5)}
    yield "flatten", "an empty dimension stays empty", {"start_dim": 1}, {"input": torch.zeros(2, 0, 3)}
    yield "flatten", "a range of one dimension changes nothing", {"start_dim": 1, "end_dim": 1}, {"input": ramp(2, 3, 4)}

    yield "sigmoid", "batch of 0", {}, {"input": torch.zeros(0, 3)}
    yield "sigmoid", "infinities, zeros and NaN", {}, {"input": torch.tensor([inf, -inf, 0.0, -0.0, nan, -nan])}
    yield "sigmoid", "where exp leaves float32", {}, {"input": torch.tensor([88.0, 89.0, 104.0, 1e30, -87.0, -88.7, -100.0, -104.0, -1e30])}
    yield "sigmoid", "close to 0 and to 1", {}, {"input": torch.tensor([1e-8, -1e-8, 16.0, 17.5, -16.0])}

    x = ramp(1, 2, 8, 8)
    box = lambda *values: torch.tensor([[0, 1, 1, 6, 6], [0, *values]], dtype=torch.float32)
    for text, values in [
        ("halves are rounded away from 0", (0.5, 1.5, 2.5, 3.5)),
        ("negative halves too", (-0.5, -1.5, 4, 4)),
        ("a reversed box is one position", (6, 6, 2, 2)),
        ("a box beside the image gives 0", (20, 20, 30, 30)),
        ("a box before the image gives 0", (-20, -20, -10, -10)),
        ("a box that reaches outside is cut", (-3, 5, 4, 20)),
        ("fewer positions than bins repeat", (3, 3, 4, 4)),
    ]:
        yield "roi_pool", text, {"output_size": [3, 4]}, {"input": x, "boxes": box(*values)}
    yield "roi_pool", "bin edges are float32's: 7 bins of 10 rows", {"output_size": 7}, {"input": ramp(1, 1, 12, 12), "boxes": torch.tensor([[0.0, 0, 0, 9, 9]])}
    yield "roi_pool", "a fraction of an image index is cut off", {"output_size": 1}, {"input": ramp(2, 1, 4, 4), "boxes": torch.tensor([[1.9, 0, 0, 3, 3]])}
    yield "roi_pool", "a NaN is never the maximum", {"output_size": 1}, {"input": image([[nan, 1], [0, nan]]), "boxes": torch.tensor([[0.0, 0, 0, 1, 1]])}
    yield "roi_pool", "-infinity gives the lowest finite number", {"output_size": 1}, {"input": torch.full((1, 1, 2, 2), -inf), "boxes": torch.tensor([[0.0, 0, 0, 1, 1]])}
    yield "roi_pool", "batch of 0", {"output_size": 2}, {"input": torch.zeros(0, 2, 8, 8), "boxes": torch.zeros(0, 5)}
    yield "roi_pool", "no boxes", {"output_size": 2}, {"input": x, "boxes": torch.zeros(0, 5)}

    c = {"running_mean": torch.tensor([0.5, -1.0]), "running_var": torch.tensor([2.0, 0.25])}
    training = {"training": True}
    yield "batch_norm", "running variance is by the unbiased one", training, {"input": ramp(3, 2), **c}
    yield "batch_norm", "momentum 0 keeps the running statistics", {**training, "momentum": 0.0}, {"input": ramp(3, 2, 4), **c}
    yield "batch_norm", "momentum 1 replaces them", {**training, "momentum": 1.0}, {"input": ramp(3, 2, 4), **c}
    yield "batch_norm", "a constant channel becomes the bias", training, {"input": torch.full((4, 2), 0.1), "bias": torch.tensor([3.0, -2.0])}
    yield "batch_norm", "NaN in one channel spoils that one alone", training, {"input": torch.tensor([[nan, 1.0], [2.0, 5.0], [3.0, 4.0]]), **c}
    yield "batch_norm", "infinity in training makes its channel NaN", training, {"input": torch.tensor([[inf, 1.0], [2.0, 5.0], [3.0, 4.0]])}
    yield "batch_norm", "infinity in inference stays one", {}, {"input": torch.tensor([[inf, -inf], [2.0, 5.0]]), **c}
    yield "batch_norm", "a mean of 100,000 with a spread of 1", training, {"input": (ramp(64, 1, 8) % 1.0) + 100000}
    yield "batch_norm", "batch of 0 in training leaves the running statistics", training, {"input": torch.zeros(0, 2, 3), **c}
    yield "batch_norm", "running variance of 0 leaves eps", {"eps": 1e-3}, {"input": ramp(2, 2), "running_mean": torch.zeros(2), "running_var": torch.zeros(2)}

    logits = torch.tensor([[1.0, 2.0, 0.5], [0.1, -3.0, 2.0], [0.0, 0.0, 0.0]])
    w = torch.tensor([0.2, 0.0, 1.5])
    for reduction in ("none", "mean", "sum"):
        r = {"reduction": reduction}
        yield "cross_entropy", f"ignore_index inside the classes, {reduction}", {**r, "ignore_index": 1}, {"input": logits, "target": classes(0, 1, 2)}
        yield "cross_entropy", f"ignore_index above the classes, {reduction}", {**r, "ignore_index": 9}, {"input": logits, "target": classes(0, 9, 2)}
        yield "cross_entropy", f"all rows ignored, {reduction}", r, {"input": logits, "target": classes(-100, -100, -100)}
        yield "cross_entropy", f"weights and smoothing, {reduction}", {**r, "label_smoothing": 0.3}, {"input": logits, "target": classes(0, 1, 2), "weight": w}
        yield "cross_entropy", f"a row ignored, weights and smoothing, {reduction}", {**r, "label_smoothing": 0.3}, {"input": logits, "target": classes(0, -100, 2), "weight": w}
        yield "cross_entropy", f"probabilities that do not add up to 1, {reduction}", r, {"input": logits, "target": logits.abs(), "weight": w}
        yield "cross_entropy", f"batch of 0, {reduction}", r, {"input": torch.zeros(0, 3), "target": torch.zeros(0, dtype=torch.long)}
    none = {"reduction": "none"}
    yield "cross_entropy", "weights that add up to 0", {}, {"input": logits, "target": classes(1, 1, 1), "weight": w}
    yield "cross_entropy", "an infinite logit makes its row NaN", none, {"input": torch.tensor([[inf, 1.0], [1.0, inf]]), "target": classes(0, 0)}
    yield "cross_entropy", "a logit of -infinity is a class of probability 0", none, {"input": torch.tensor([[-inf, 1.0], [1.0, -inf]]), "target": classes(0, 0)}
    yield "cross_entropy", "nothing but -infinity is NaN", none, {"input": torch.tensor([[-inf, -inf], [1.0, 2.0]]), "target": classes(0, 0)}
    yield "cross_entropy", "a NaN in an ignored row does nothing", {}, {"input": torch.tensor([[nan, 1.0], [1.0, 2.0]]), "target": classes(-100, 0)}
    yield "cross_entropy", "huge logits", none, {"input": torch.tensor([[1e38, -1e38], [3e4, 3e4 + 1]]), "target": classes(1, 0)}
    yield "cross_entropy", "a small loss keeps its digits", none, {"input": torch.tensor([[18.0, 0.0], [30.0, 0.0]]), "target": classes(0, 0)}
    yield "cross_entropy", "smoothing of 1", {"label_smoothing": 1.0}, {"input": logits, "target": classes(0, 1, 2)}
    yield "cross_entropy", "one row without a batch", {}, {"input": logits[0], "target": classes(2)[0]}
    yield "cross_entropy", "one class", {}, {"input": logits[:, :1], "target": classes(0, 0, 0)}
    torch.manual_seed(3)
    yield "cross_entropy", "32,000 classes", {}, {"input": torch.randn(2, 32000) * 3, "target": classes(7, 31999)}

    yield "mse_loss", "scalars", {}, {"input": torch.tensor(2.0), "target": torch.tensor(-1.5)}
    yield "mse_loss", "the mean of nothing is NaN", {}, {"input": torch.zeros(0, 3), "target": torch.zeros(0, 3)}
    yield "mse_loss", "the sum of nothing is 0", {"reduction": "sum"}, {"input": torch.zeros(0), "target": torch.zeros(0)}
    yield "mse_loss", "shapes that broadcast", {"reduction": "none"}, {"input": ramp(2, 1, 3), "target": ramp(4, 1)}
    yield "mse_loss", "shapes that broadcast in turns", {"reduction": "none"}, {"input": ramp(2, 1, 3, 1), "target": ramp(1, 4, 1, 2)}
    yield "mse_loss", "NaN and infinities", {"reduction": "none"}, {"input": torch.tensor([nan, inf, inf, 1.0]), "target": torch.tensor([1.0, 1.0, inf, -inf])}
    yield "mse_loss", "an overflowing square", {"reduction": "none"}, {"input": torch.tensor([3e38, 1.0]), "target": torch.tensor([-3e38, 0.0])}
    yield "mse_loss", "a square that is no normal number", {"reduction": "none"}, {"input": torch.tensor([1e-20, 1.0]), "target": torch.tensor([0.0, 0.0])}

    yield "relu", "batch of 0", {}, {"input": torch.zeros(0, 3)}
    yield "relu", "a NaN stays a NaN, with its sign", {}, {"input": torch.tensor([nan, -nan, 1.0, -1.0])}
    yield "relu", "infinities and the largest numbers", {}, {"input": torch.tensor([inf, -inf, 3.4028235e38, -3.4028235e38])}
    yield "relu", "-0 stays -0", {}, {"input": torch.tensor([-0.0, 0.0, 1.0])}
    yield "relu", "the smallest numbers above and below 0", {}, {"input": torch.tensor([1e-45, -1e-45, 1e-38, -1e-38])}
    yield "relu", "a scalar", {}, {"input": torch.tensor(-2.5)}

    yield from networks.corners()


def refused():
    """Corners that PyTorch refuses: (operator, what is asked, parameters, tensors)."""
    window = {"input": ramp(1, 1, 7, 7)}
    for op in ("max_pool2d", "avg_pool2d"):
        yield op, "padding beyond half of kernel_size", {"kernel_size": 3, "padding": 2}, window
    yield "max_pool2d", "padding beyond half of kernel_size, though not of the dilated window", {"kernel_size": 3, "dilation": 2, "padding": 2}, window
    yield "avg_pool2d", "a divisor_override of 0", {"kernel_size": 2, "divisor_override": 0}, window
    weight = {**window, "weight": ramp(1, 1, 2, 2)}
    yield "conv2d", "padding 'same' with a stride", {"padding": "same", "stride": 2}, weight
    yield "conv_transpose2d", "output_padding that is neither below stride nor below dilation", {"stride": 2, "output_padding": 2}, weight
    yield "conv_transpose2d", "padding that leaves nothing", {"padding": 4}, weight
    yield "flatten", "start_dim behind end_dim", {"start_dim": 2, "end_dim": 1}, {"input": ramp(2, 3, 4)}
    yield "batch_norm", "one value per channel in training", {"training": True}, {"input": ramp(1, 3, 1)}
    yield "batch_norm", "neither training nor running statistics", {}, {"input": ramp(2, 3)}
    yield "cross_entropy", "a class index that is no class", {}, {"input": ramp(2, 3), "target": classes(0, 3)}
    yield "cross_entropy", "ignore_index beside probabilities", {"ignore_index": 1}, {"input": ramp(2, 3), "target": ramp(2, 3)}
    yield "cross_entropy", "a single row's class as (1), with smoothing", {"label_smoothing": 0.1}, {"input": ramp(3), "target": classes(1)}
    yield "mse_loss", "shapes that do not broadcast", {}, {"input": ramp(2, 3), "target": ramp(2)}
    yield from networks.refused()


def bad_inputs():
    """(operator, parameters, tensors) that must be refused: one wrong thing at a time in calls that are right."""
    pair_of = lambda name, low, empty=[]: [{name: v} for v in (low, [low, 1], [1, low], -1, [1, -2], [1, 1, 1], empty, "2", 1.5, True, [1, "1"], {"a": 1})]
    odd_flags = lambda name: [{name: v} for v in (1, "true", [True])]

    pool_input = [torch.zeros(s) for s in [(), (4,), (4, 4), (0, 4, 4), (1, 0, 4, 4), (1, 2, 0, 4), (1, 2, 4, 0), (1, 1, 1, 4, 4)]]
    right = {"input": ramp(1, 2, 6, 6)}
    for op in ("max_pool2d", "avg_pool2d"):
        for wrong in pair_of("kernel_size", 0) + pair_of("stride", 0, [[]]) + [{"padding": v} for v in (-1, [0, 2], "same", [1, 1, 1], 1.0)]:
            yield op, {"kernel_size": 2, **wrong}, right
        for wrong in odd_flags("ceil_mode") + [{"kernel_size": 7}, {"kernel_size": [1, 7]}, {"padding": 2, "kernel_size": 3}]:
            yield op, {"kernel_size": 2, **wrong}, right
        yield op, {}, right
        for input in pool_input:
            yield op, {"kernel_size": 2}, {"input": input}
        yield op, {"kernel_size": 2}, {}
        yield op, {"kernel_size": 2}, {"input": torch.ones(1, 1, 4, 4, dtype=torch.long)}
    for wrong in pair_of("dilation", 0) + odd_flags("return_indices") + [{"dilation": 6}]:
        yield "max_pool2d", {"kernel_size": 2, **wrong}, right
    for wrong in odd_flags("count_include_pad") + [{"divisor_override": v} for v in (0, 1.5, "3", [2])]:
        yield "avg_pool2d", {"kernel_size": 2, **wrong}, right

    for op, shape in (("conv2d", (4, 2, 3, 3)), ("conv_transpose2d", (2, 4, 3, 3))):
        right = {"input": ramp(1, 2, 6, 6), "weight": ramp(*shape), "bias": ramp(4)}
        for wrong in pair_of("stride", 0) + pair_of("dilation", 0) + [{"groups": v} for v in (0, -1, 3, 1.5, "2", [1])]:
            yield op, wrong, right
        for wrong in [{"padding": v} for v in (-1, [1, -1], [1, 1, 1], "full", 1.5, True)]:
            yield op, wrong, right
        for name, tensors in [
            ("input", [ramp(6, 6), ramp(1, 3, 6, 6), ramp(1, 1, 2, 6, 6), torch.zeros(1, 2, 0, 6), torch.zeros(0, 6, 6)]),
            ("weight", [ramp(4, 2, 3), ramp(4, 3, 3, 3), torch.zeros(0, 2, 3, 3), torch.zeros(4, 2, 0, 3), ramp(3, 3, 3, 3)]),
            ("bias", [ramp(3), ramp(1, 4), torch.tensor(1.0), torch.zeros(0)]),
        ]:
            for tensor in tensors:
                yield op, {}, {**right, name: tensor}
        for name in ("input", "weight"):
            yield op, {}, {k: v for k, v in right.items() if k != name}
            yield op, {}, {**right, name: torch.ones(right[name].shape, dtype=torch.long)}
    right = {"input": ramp(1, 2, 6, 6), "weight": ramp(4, 2, 3, 3)}
    for wrong in [{"padding": "same", "stride": 2}, {"dilation": 3}, {"stride": [1, 2], "padding": "same"}]:
        yield "conv2d", wrong, right
    right = {"input": ramp(1, 2, 6, 6), "weight": ramp(2, 4, 3, 3)}
    for wrong in [{"output_padding": v} for v in (1, [0, 1], -1, "1")] + [{"padding": 4}, {"output_padding": 2, "stride": 2}]:
        yield "conv_transpose2d", wrong, right

    for wrong in [{"start_dim": v} for v in (3, -4, 2, 1.5, "0", [0])] + [{"end_dim": v} for v in (3, -4, 1.5, None)]:
        params = {"end_dim": 1, **wrong} if "start_dim" in wrong else {"start_dim": 2, "end_dim": 1} if wrong == {"end_dim": None} else wrong
        yield "flatten", params, {"input": ramp(2, 3, 4)}
    yield "flatten", {}, {}
    yield "sigmoid", {}, {}
    yield "sigmoid", {}, {"input": torch.ones(3, dtype=torch.long)}

    right = {"input": ramp(2, 3, 8, 8), "boxes": torch.tensor([[0.0, 0, 0, 4, 4]])}
    for wrong in pair_of("output_size", 0) + [{"spatial_scale": v} for v in ("1", [1.0], 1e60)]:
        yield "roi_pool", {"output_size": 2, **wrong}, right
    yield "roi_pool", {}, right
    for values in [(2, 0, 0, 4, 4), (-1, 0, 0, 4, 4), (nan, 0, 0, 4, 4), (0, nan, 0, 4, 4), (0, 0, -inf, 4, 4), (0, 0, 0, inf, 4), (0, 0, 0, 4, 1e20)]:
        yield "roi_pool", {"output_size": 2}, {**right, "boxes": torch.tensor([values], dtype=torch.float32)}
    for boxes in (torch.zeros(5), torch.zeros(1, 6), torch.zeros(1, 1, 5), torch.zeros(1, 5, dtype=torch.long)):
        yield "roi_pool", {"output_size": 2}, {**right, "boxes": boxes}
    for input in (ramp(3, 8, 8), ramp(1, 2, 3, 8, 8), ramp(8, 8)):
        yield "roi_pool", {"output_size": 2}, {**right, "input": input}
    yield "roi_pool", {"output_size": 2}, {"input": right["input"]}

    right = {"input": ramp(2, 3, 4), "running_mean": torch.zeros(3), "running_var": torch.ones(3), "weight": ramp(3), "bias": ramp(3)}
    for name in ("running_mean", "running_var", "weight", "bias"):
        for tensor in (torch.ones(4), torch.ones(1, 3), torch.tensor(1.0), torch.ones(3, dtype=torch.long)):
            yield "batch_norm", {"training": True}, {**right, name: tensor}
    for name in ("running_mean", "running_var"):
        for training in (True, False):
            yield "batch_norm", {"training": training}, {k: v for k, v in right.items() if k != name}
    yield "batch_norm", {}, {"input": right["input"]}
    for input in (ramp(3), torch.tensor(1.0), ramp(1, 3), ramp(1, 3, 1), ramp(2, 4)):
        yield "batch_norm", {"training": True}, {**right, "input": input}
    for wrong in [{"eps": v} for v in (0.0, -1e-5, "1", [1e-5], 1e-60)] + [{"momentum": v} for v in ("0.1", [0.1], 1e60)] + odd_flags("training"):
        yield "batch_norm", {"training": True, **wrong}, right

    right = {"input": ramp(2, 3), "target": classes(0, 2), "weight": torch.ones(3)}
    for target in (classes(0), classes(0, 1, 2), classes(0, 2)[None], classes(0, 3), classes(-1, 0), classes(0, 2**40), classes(0, -(2**40)), torch.tensor(1)):
        yield "cross_entropy", {}, {**right, "target": target}
    for target in (ramp(2), ramp(3, 2), ramp(2, 3, 1)):
        yield "cross_entropy", {}, {**right, "target": target}
    for weight in (torch.ones(2), torch.ones(1, 3), torch.tensor(1.0)):
        yield "cross_entropy", {}, {**right, "weight": weight}
    for wrong in [{"label_smoothing": v} for v in (-0.1, 1.1, "0", [0.1])] + [{"reduction": v} for v in ("batchmean", 1, None and 0, "")] + [{"ignore_index": v} for v in (1.5, "0")]:
        if wrong != {"reduction": None}:
            yield "cross_entropy", wrong, right
    yield "cross_entropy", {"ignore_index": 1}, {**right, "target": ramp(2, 3)}
    for input in (torch.tensor(1.0), ramp(2, 4), torch.zeros(2, 0)):
        yield "cross_entropy", {}, {**right, "input": input}

    for target in (ramp(2), ramp(3, 2), ramp(2, 2, 2), torch.zeros(0)):
        yield "mse_loss", {}, {"input": ramp(2, 3), "target": target}
    for wrong in ({"reduction": "max"}, {"reduction": 0}, {"reduction": ["mean"]}):
        yield "mse_loss", wrong, {"input": ramp(2), "target": ramp(2)}
    yield "mse_loss", {}, {"input": ramp(2)}
    yield "mse_loss", {}, {"target": ramp(2)}
    yield "mse_loss", {}, {"input": torch.ones(2, dtype=torch.long), "target": ramp(2)}

    yield "relu", {}, {}
    yield "relu", {}, {"input": torch.ones(3, dtype=torch.long)}

    yield from networks.bad_inputs()
