"""Makes the golden data beside this script with PyTorch.

    python -m venv venv
    venv/bin/pip install torch==2.11.0 torchvision==0.26.0 numpy==2.4.6 safetensors==0.8.0 expecttest onnx
    venv/bin/python tests/golden/make.py

`make.py relu` makes the cases of relu alone and leaves all others as they are. It takes the operators that
sources.LATER names; networks.py has what is particular to most of them. `make.py optional_outputs` makes that folder alone.

Writes a folder for each source: report/ (the report's experiment), random/ (parameters drawn at random), opinfo/ (the
samples of PyTorch's own tests), onnx/ (ONNX's backend node tests), roi_pool/ (torchvision's tests), channels/
(convolutions of many channels), special/ (infinities, NaN and numbers near the largest in every float argument), corners/
(what PyTorch does where it is not obvious; CORNERS.md lists it), bad_input/ (what must be refused) and optional_outputs/
(outputs that an operator gives on request: roi_pool's argmax, batch_norm's saved statistics). In each, cases.jsonl has a case a line and tensors.safetensors the data. Inputs are float32. Expected values come from PyTorch in
float64, rounded to float32 once. A case's bound `atol` is 4 times the error of PyTorch's own float32, but at least the
rounding (2^-23) of the largest sum of magnitudes that an output adds up; integer data, whose sums are exact in float32,
gets 0. `rmse_float32` is PyTorch's own float32's root mean square error.
"""

import json
import math
import pathlib
import random
import sys
import zlib

import numpy
import torch
import torch.nn.functional as F
import torchvision
from safetensors.numpy import load_file, save_file

import corners
import networks
import optional_outputs
import sources
import special

HERE = pathlib.Path(__file__).parent
assert torch.__version__.startswith("2.11.0"), torch.__version__
assert torchvision.__version__.startswith("0.26.0"), torchvision.__version__

# The operators that are asked for, or a folder; none for all.
ONLY = sys.argv[1:]
OPTIONAL_OUTPUTS = "optional_outputs"
assert ONLY == [OPTIONAL_OUTPUTS] or set(ONLY) <= set(sources.LATER), ONLY


def is_asked_for(op):
    return not ONLY or op in ONLY


def seed(name):
    """Gives operators and folders that were added later random numbers of their own."""
    if name in [*sources.LATER, OPTIONAL_OUTPUTS]:
        for module_rng in (rng, special.rng, networks.rng):
            module_rng.seed(name)
        torch.manual_seed(zlib.crc32(name.encode()))


class Folder:
    """Cases and tensors as they gather, beside those of a source that are to stay."""

    def __init__(self, source):
        self.source, self.cases, self.tensors, self.names = source, [], {}, {}
        if ONLY and source not in ONLY:
            lines = (HERE / source / "cases.jsonl").read_text().splitlines()
            is_dropped = lambda name: any(f"/{op}/" in f"/{name}" for op in ONLY)
            self.cases = [case for case in map(json.loads, lines) if not is_asked_for(case["op"])]
            used = {name for case in self.cases for name in names_of(case)}
            for name, array in load_file(HERE / source / "tensors.safetensors").items():
                if name in used or not is_dropped(name):
                    self.tensors[name] = array
                    self.names[key_of(array)] = name

    def put(self, name, tensor):
        """Stores a tensor and returns its name; that of an earlier one if it is the same."""
        tensor = torch.as_tensor(tensor).detach()
        kind = torch.float32 if tensor.is_floating_point() else torch.int64
        array = tensor.to(kind).contiguous().numpy().copy()
        key = key_of(array)
        if key not in self.names:
            self.names[key] = name
            self.tensors[name] = array
        return self.names[key]

    def put_inputs(self, case_id, inputs):
        names = {}
        for name, value in inputs.items():
            if isinstance(value, list):
                names[name] = [self.put(f"{case_id}/{name}.in.{i}", t) for i, t in enumerate(value)]
            elif value is not None:
                names[name] = self.put(f"{case_id}/{name}.in", value)
        return names

    def add(self, case_id, op, params, inputs, outputs32, outputs64, scale=None, exact=False):
        """Adds a case; `scale` is the largest sum of magnitudes behind an output element."""
        case = {"id": case_id, "op": op, "params": params, "inputs": self.put_inputs(case_id, inputs), "outputs": {}}
        for name, expected in outputs64.items():
            spec = {"tensor": self.put(f"{case_id}/{name}", expected)}
            if expected.is_floating_point():
                error = (outputs32[name].double() - expected)
                # What float32 overflows on is expected to be infinite.
                finite = expected.float().isfinite()
                error, largest = error[finite & outputs32[name].isfinite()], expected[finite].abs()
                largest = largest.max().item() if largest.numel() else 0.0
                bound = max(largest, scale if scale and math.isfinite(scale) else 0.0) * 2.0**-23
                worst = error.abs().max().item() if error.numel() else 0.0
                spec["atol"] = 0.0 if exact else max(4 * worst, bound)
                spec["rmse_float32"] = error.square().mean().sqrt().item() if error.numel() else 0.0
            case["outputs"][name] = spec
        self.cases.append(case)

    def add_error(self, case_id, op, params, inputs):
        """Adds a call that must be refused."""
        names = self.put_inputs(case_id, inputs)
        self.cases.append({"id": case_id, "op": op, "params": params, "inputs": names, "outputs": {}, "error": True})

    def save(self):
        folder = HERE / self.source
        folder.mkdir(exist_ok=True)
        lines = [json.dumps(case, allow_nan=False, separators=(",", ":")) for case in self.cases]
        (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
        save_file(self.tensors, folder / "tensors.safetensors")
        print(self.source, len(self.cases), "cases,", sum(t.nbytes for t in self.tensors.values()), "bytes")


def key_of(array):
    """What two arrays share if they are the same."""
    return array.dtype.str, array.shape, array.tobytes()


def names_of(case):
    """The names of a case's tensors."""
    for name in case["inputs"].values():
        yield from name if isinstance(name, list) else [name]
    for spec in case["outputs"].values():
        yield spec["tensor"]


def double(value):
    """Floats as float64; anything else as it is."""
    if isinstance(value, list):
        return [double(item) for item in value]
    return value.double() if torch.is_tensor(value) and value.is_floating_point() else value


def copies(tensors):
    return {k: v.clone() if torch.is_tensor(v) else v for k, v in tensors.items()}


def both(function, inputs):
    """What a function gives in float32 and in float64."""
    return function(**copies(inputs)), function(**copies({k: double(v) for k, v in inputs.items()}))


# ---------------------------------------------------------------------------------------------------- the report


def make_report():
    torch.manual_seed(2622468248)
    pixel = torch.randn(3, 32, 32)
    conv1 = torch.nn.Conv2d(3, 6, 3)
    conv2 = torch.nn.Conv2d(3, 6, 5, 2, dilation=2)
    convt = torch.nn.ConvTranspose2d(3, 4, 3)
    target = torch.randint(0, 3, (1, 32, 32))
    mse_target = torch.randn(3, 32, 32)

    folder = Folder("report")
    image = pixel[None]

    def add(case_id, op, params, inputs, function):
        outputs32, outputs64 = both(lambda **values: {"output": function(**values)}, inputs)
        folder.add(f"report/{case_id}", op, params, inputs, outputs32, outputs64)
        # What PyTorch's float32 gives, to be set beside the rest.
        folder.tensors[f"report/{case_id}/output.float32"] = outputs32["output"].numpy()

    weights = lambda module: {"weight": module.weight.detach(), "bias": module.bias.detach()}
    add("max_pool2d", "max_pool2d", {"kernel_size": 2, "stride": 1}, {"input": image},
        lambda input: F.max_pool2d(input, 2, 1))
    add("avg_pool2d", "avg_pool2d", {"kernel_size": 2, "stride": 1}, {"input": image},
        lambda input: F.avg_pool2d(input, 2, 1))
    add("conv2d_k3", "conv2d", {}, {"input": image, **weights(conv1)}, F.conv2d)
    add("conv2d_k5", "conv2d", {"stride": 2, "dilation": 2}, {"input": image, **weights(conv2)},
        lambda **values: F.conv2d(**values, stride=2, dilation=2))
    add("conv_transpose2d", "conv_transpose2d", {}, {"input": image, **weights(convt)}, F.conv_transpose2d)
    add("flatten", "flatten", {}, {"input": pixel}, torch.flatten)
    add("sigmoid", "sigmoid", {}, {"input": pixel}, torch.sigmoid)
    add("roi_pool", "roi_pool", {"output_size": 6}, {"input": image, "boxes": torch.tensor([[0.0, 0, 0, 20, 20]])},
        lambda input, boxes: torchvision.ops.roi_pool(input, boxes, 6))
    add("batch_norm", "batch_norm", {"training": True}, {"input": image, "weight": torch.ones(3), "bias": torch.zeros(3)},
        lambda input, weight, bias: F.batch_norm(input, None, None, weight, bias, training=True))
    add("cross_entropy", "cross_entropy", {}, {"input": image, "target": target}, F.cross_entropy)
    add("mse_loss", "mse_loss", {}, {"input": pixel, "target": mse_target}, F.mse_loss)
    add("worked_example", "conv2d", {},
        {"input": torch.arange(9.0).reshape(1, 1, 3, 3), "weight": torch.arange(4.0).reshape(1, 1, 2, 2)}, F.conv2d)
    folder.save()


# ------------------------------------------------------------------------------------------------- random cases

rng = random.Random(20240607)
CASES = 100


def data(*shape, exact=False):
    if exact:
        return torch.randint(-8, 9, shape).float()
    return torch.randn(shape)


def pair(low, high):
    """Two numbers, the same one now and then."""
    values = [rng.randint(low, high), rng.randint(low, high)]
    if rng.random() < 0.3:
        values[1] = values[0]
    return values


def shown(params):
    """Parameters as a case file has them: some pairs of equal numbers as one."""
    def show(value):
        is_pair = isinstance(value, list) and len(value) == 2 and None not in value
        return value[0] if is_pair and value[0] == value[1] and rng.random() < 0.7 else value
    return {name: value if name in networks.LISTS else show(value) for name, value in params.items()}


def image_shape(channels=None, low=1, high=20):
    """(N,C,H,W), or (C,H,W) one time in four; an empty batch now and then."""
    shape = [channels or rng.choice([1, 2, 3, 5, 8]), rng.randint(low, high), rng.randint(low, high)]
    if rng.random() < 0.15:
        # Across the sizes that kernels are cut at.
        shape[rng.choice([1, 2])] = rng.choice([31, 33, 63, 64, 65, 127, 129, 255, 256, 257])
    if rng.random() < 0.75:
        shape.insert(0, rng.choice([0, 1, 1, 1, 2, 2, 2, 3, 3, 3]))
    return shape


def is_nearly_zero(output):
    return output.numel() >= 8 and output.count_nonzero().item() * 20 < output.numel()


def draw(folder, op, make):
    """Draws cases until there are as many as wanted that PyTorch takes."""
    made = 0
    while made < networks.CASES.get(op, CASES):
        exact = rng.random() < 0.35
        drawn = make(exact)
        if drawn is None:
            continue
        params, inputs, function, scale, is_exact = drawn
        try:
            outputs32, outputs64 = both(lambda **values: function(**values), inputs)
        except (RuntimeError, ValueError):
            continue
        # Some of PyTorch's transposed convolutions give outputs without rows or columns; ours refuses.
        if op == "conv_transpose2d" and 0 in outputs64["output"].shape[-2:]:
            continue
        # With an empty batch PyTorch leaves out checks; ours does not.
        if op == "conv_transpose2d" and inputs["input"].shape[:1] == (0,):
            full = {**inputs, "input": torch.zeros(1, *inputs["input"].shape[1:])}
            try:
                function(**full)
            except RuntimeError:
                continue
        # A test refuses an expectation that is nearly all zeros: it would hide an operator that does nothing.
        if any(is_nearly_zero(o) for o in outputs64.values() if o.is_floating_point()):
            continue
        # Small, to keep the repository small.
        if any(o.numel() > 6000 for o in outputs64.values()):
            continue
        scale = scale() if scale and ("input" not in inputs or inputs["input"].numel()) and all(o.numel() for o in outputs64.values()) else None
        folder.add(f"{op}/{made}", op, shown(params), inputs, outputs32, outputs64, scale, is_exact)
        made += 1


def pool_params():
    params = {"kernel_size": pair(1, 5)}
    if rng.random() < 0.8:
        params["stride"] = pair(1, 4)
    if rng.random() < 0.7:
        params["padding"] = [rng.randint(0, k // 2) for k in params["kernel_size"]]
    if rng.random() < 0.5:
        params["ceil_mode"] = rng.random() < 0.8
    return params


def make_max_pool2d(exact):
    params = pool_params()
    if rng.random() < 0.4:
        params["dilation"] = pair(1, 3)
    inputs = {"input": data(*image_shape(), exact=exact)}
    if inputs["input"].numel() > 20 and rng.random() < 0.3:
        # Drivers may take NaN for a number, above or below all others by its sign.
        flat = inputs["input"].flatten()
        for _ in range(rng.choice([1, 4])):
            flat[rng.randrange(flat.numel())] = rng.choice([math.nan, -math.nan, math.inf, -math.inf])
    if rng.random() < 0.5:
        return params, inputs, lambda input: {"output": F.max_pool2d(input, **params)}, None, True

    call = dict(params)
    params["return_indices"] = True

    def function(input):
        output, indices = F.max_pool2d(input, **call, return_indices=True)
        return {"output": output, "indices": indices}
    return params, inputs, function, None, True


def make_avg_pool2d(exact):
    params = pool_params()
    if rng.random() < 0.5:
        params["count_include_pad"] = rng.random() < 0.3
    if rng.random() < 0.4:
        params["divisor_override"] = rng.choice([1, 2, 3, 7, -4])
    inputs = {"input": data(*image_shape(), exact=exact)}
    # The sums are exact, but a division by 3 is rounded in each own way.
    return params, inputs, lambda input: {"output": F.avg_pool2d(input, **params)}, None, False


def conv_inputs(exact, transposed):
    groups = rng.choice([1, 1, 1, 2, 3, 4])
    per_group = [rng.choice([1, 2, 3, 9]), rng.choice([1, 2, 3, 5])]
    kernel = pair(1, 5)
    channels = groups * per_group[0]
    weight = [channels, per_group[1]] if transposed else [groups * per_group[1], per_group[0]]
    inputs = {
        "input": data(*image_shape(channels, high=10 if transposed else 18), exact=exact),
        "weight": data(*weight, *kernel, exact=exact),
        "bias": data(groups * per_group[1], exact=exact) if rng.random() < 0.6 else None,
    }
    return groups, inputs


def magnitudes(function, inputs):
    return lambda: function(**{k: v.abs().double() if v is not None else None for k, v in inputs.items()})["output"].max().item()


def cross_entropy_scale(params, inputs):
    """How large the differences of logits are that a loss is made of: a rounding of one shows in the loss."""

    def scale():
        input, target, weight = inputs["input"], inputs["target"], inputs.get("weight")
        dim = 0 if input.dim() == 1 else 1
        rows = input.amax(dim) - input.amin(dim)
        if weight is not None:
            rows = rows * weight.max()
        if target.is_floating_point():
            rows = rows * target.abs().sum(dim).clamp(min=1)
        return (rows.sum() if params.get("reduction") == "sum" else rows.max()).item()

    return scale


def make_conv2d(exact):
    groups, inputs = conv_inputs(exact, False)
    params = {}
    if rng.random() < 0.8:
        params["stride"] = pair(1, 3)
    if rng.random() < 0.8:
        params["padding"] = rng.choice([pair(0, 3), pair(0, 3), "same", "valid"])
        if params["padding"] == "same":
            params["stride"] = 1
    if rng.random() < 0.5:
        params["dilation"] = pair(1, 3)
    if groups > 1 or rng.random() < 0.2:
        params["groups"] = groups
    function = lambda **values: {"output": F.conv2d(**values, **params)}
    return params, inputs, function, magnitudes(function, inputs), exact


def make_conv_transpose2d(exact):
    groups, inputs = conv_inputs(exact, True)
    params = {}
    if rng.random() < 0.8:
        params["stride"] = pair(1, 4)
    if rng.random() < 0.6:
        params["padding"] = pair(0, 2)
    if rng.random() < 0.5:
        params["output_padding"] = pair(0, 2)
    if rng.random() < 0.5:
        params["dilation"] = pair(1, 3)
    if groups > 1 or rng.random() < 0.2:
        params["groups"] = groups
    function = lambda **values: {"output": F.conv_transpose2d(**values, **params)}
    return params, inputs, function, magnitudes(function, inputs), exact


def make_flatten(exact):
    shape = [rng.choice([0, 1, 2, 3, 4]) if rng.random() < 0.1 else rng.randint(1, 4) for _ in range(rng.randint(0, 5))]
    params = {}
    if rng.random() < 0.8:
        params["start_dim"] = rng.randint(-len(shape), max(len(shape) - 1, 0))
    if rng.random() < 0.8:
        params["end_dim"] = rng.randint(-len(shape), max(len(shape) - 1, 0))
    try:
        torch.flatten(torch.zeros(shape), **params)
    except (RuntimeError, IndexError):
        return None
    return params, {"input": data(*shape, exact=exact)}, lambda input: {"output": torch.flatten(input, **params)}, None, True


def make_sigmoid(exact):
    shape = [rng.choice([1, 2, 3, 7, 16, 65]) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.05:
        shape = [0, 3]
    spread = rng.choice([1, 1, 5, 30, 100])
    return {}, {"input": data(*shape) * spread}, lambda input: {"output": torch.sigmoid(input)}, None, False


def make_roi_pool(exact):
    n, c, h, w = rng.choice([1, 2, 3]), rng.choice([1, 2, 5]), rng.randint(1, 24), rng.randint(1, 24)
    params = {"output_size": pair(1, 7)}
    scale = rng.choice([1.0, 1.0, 0.5, 0.25, 0.0625, 2.0])
    if scale != 1.0:
        params["spatial_scale"] = scale

    def corners(count):
        # Some end before they begin, some reach outside.
        box = torch.rand(count, 4) * torch.tensor([w, h, w, h]) * 1.5 / scale - 0.2 * max(h, w) / scale
        order = torch.rand(count) < 0.8
        low, high = torch.minimum(box[:, :2], box[:, 2:]), torch.maximum(box[:, :2], box[:, 2:])
        box = torch.where(order[:, None], torch.cat([low, high], 1), box)
        return box.round() if rng.random() < 0.4 else (box * 2).round() / 2 if rng.random() < 0.3 else box

    count = rng.choice([0, 1, 1, 2, 4]) if rng.random() < 0.3 else rng.choice([1, 2, 4])
    inputs = {"input": data(n, c, h, w, exact=exact)}
    if rng.random() < 0.7:
        inputs["boxes"] = torch.cat([torch.randint(0, n, (count, 1)).float(), corners(count)], 1)
    else:
        inputs["boxes"] = [corners(rng.randint(0, 2)) for _ in range(n)]

    def function(input, boxes):
        return {"output": torchvision.ops.roi_pool(input, boxes, params["output_size"], scale)}

    # Bin edges are float32's: float64 must not move them, so the boxes' bins come from the float32 call alone.
    def edges_of_float32(input, boxes):
        return {"output": function(input.float(), [b.float() for b in boxes] if isinstance(boxes, list) else boxes.float())["output"].to(input.dtype)}

    return params, inputs, edges_of_float32, None, True


def make_batch_norm(exact):
    shape = [rng.choice([1, 2, 3, 8]), rng.choice([1, 2, 3, 7])]
    shape += [rng.choice([1, 2, 3, 7, 16, 33]) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.05:
        shape[0] = 0
    c = shape[1]
    params = {}
    training = rng.random() < 0.6
    if training or rng.random() < 0.5:
        params["training"] = training
    if rng.random() < 0.4:
        params["momentum"] = rng.choice([0.0, 1.0, 0.3, 0.01])
    if rng.random() < 0.4:
        params["eps"] = rng.choice([1e-3, 1e-5, 0.1, 1e-7])
    spread, mean = rng.choice([1, 1, 0.01, 100]), rng.choice([0, 0, 1, -30, 1000, 10000])
    has_running = not training or rng.random() < 0.7
    inputs = {
        "input": data(*shape) * spread + mean,
        "running_mean": data(c) if has_running else None,
        "running_var": torch.rand(c) + 0.1 if has_running else None,
        "weight": data(c) if rng.random() < 0.6 else None,
        "bias": data(c) if rng.random() < 0.6 else None,
    }
    call = {"training": False, **params}

    def function(input, running_mean, running_var, weight, bias):
        output = F.batch_norm(input, running_mean, running_var, weight, bias, **call)
        outputs = {"output": output}
        if training and has_running and input.numel():
            outputs |= {"running_mean": running_mean, "running_var": running_var}
        return outputs

    return params, inputs, function, None, False


def make_cross_entropy(exact):
    classes = rng.choice([1, 2, 3, 5, 10, 32, 33, 64, 100, 300])
    shape = [classes]
    if rng.random() < 0.85:
        n = rng.choice([1, 2, 3, 5, 8, 17]) if rng.random() < 0.95 else 0
        shape = [n, classes] + [rng.choice([1, 2, 3, 5, 8]) for _ in range(rng.choice([0, 0, 1, 2]))]
    rows = shape[:0] if len(shape) == 1 else [shape[0], *shape[2:]]
    params = {}
    if rng.random() < 0.6:
        params["reduction"] = rng.choice(["none", "mean", "sum"])
    if rng.random() < 0.4:
        params["label_smoothing"] = rng.choice([0.0, 0.1, 0.5, 1.0])
    inputs = {"input": data(*shape) * rng.choice([1, 1, 5, 20])}
    if rng.random() < 0.65:
        target = torch.randint(0, classes, rows)
        if rng.random() < 0.4:
            params["ignore_index"] = rng.choice([-100, 0, classes - 1, classes + 3, -1])
            target = torch.where(torch.rand(rows) < 0.3, torch.tensor(params["ignore_index"]), target)
        inputs["target"] = target
    else:
        target = torch.rand(shape)
        dim = 0 if len(shape) == 1 else 1
        inputs["target"] = target / target.sum(dim, keepdim=True) if rng.random() < 0.7 else target
    inputs["weight"] = torch.rand(classes) + 0.05 if rng.random() < 0.4 else None
    function = lambda **values: {"output": F.cross_entropy(**values, **params)}
    return params, inputs, function, cross_entropy_scale(params, inputs), False


def make_mse_loss(exact):
    shape = [rng.choice([1, 2, 3, 8, 31, 64]) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.08:
        shape = [0, 2]
    other = list(shape)
    if shape and rng.random() < 0.25:
        other = [1 if rng.random() < 0.5 else length for length in shape][rng.randint(0, len(shape) - 1):]
    params = {}
    if rng.random() < 0.7:
        params["reduction"] = rng.choice(["none", "mean", "sum"])
    inputs = {"input": data(*shape, exact=exact), "target": data(*other, exact=exact)}
    if rng.random() < 0.5:
        inputs = {"input": inputs["target"], "target": inputs["input"]}
    function = lambda **values: {"output": F.mse_loss(**values, **params)}
    exact = exact and params.get("reduction", "mean") != "mean"
    return params, inputs, function, None, exact


def make_relu(exact):
    shape = [rng.choice([1, 2, 3, 7, 16, 65]) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.05:
        shape = [0, 3]
    input = data(*shape, exact=exact)
    if rng.random() < 0.3:
        # Zeros of both signs.
        input = torch.where(torch.rand(shape) < 0.2, input * 0.0, input)
    return {}, {"input": input}, lambda input: {"output": torch.relu(input)}, None, True


def make_cases():
    torch.manual_seed(1)
    folder = Folder("random")
    for op in ["max_pool2d", "avg_pool2d", "conv2d", "conv_transpose2d", "flatten", "sigmoid", "roi_pool", "batch_norm",
               "cross_entropy", "mse_loss", "relu", *networks.OPERATORS]:
        if is_asked_for(op):
            seed(op)
            draw(folder, op, networks.maker(op) if op in networks.OPERATORS else globals()[f"make_{op}"])
    folder.save()


# ------------------------------------------------------------------------------------------- what others have tested


def add_call(folder, case_id, op, params, tensors, expected=None):
    """Adds a call, or that it is refused where PyTorch raises; `expected` is what another library says comes out."""
    function = sources.call(op, params)
    outputs32, outputs64 = both(lambda **values: function(**values), tensors)
    if any(is_nearly_zero(o) for o in outputs64.values() if o.is_floating_point()):
        return
    for name, array in (expected or {}).items():
        assert torch.allclose(outputs32[name].float(), array.float(), rtol=1e-3, atol=1e-5, equal_nan=True), case_id
    scale = None
    if op in ("conv2d", "conv_transpose2d") and outputs64["output"].numel():
        scale = magnitudes(function, tensors)()
    if op == "cross_entropy" and tensors["input"].numel():
        scale = cross_entropy_scale(params, tensors)()
    if op in networks.OPERATORS:
        scale = networks.scale(op, params, tensors)
    exact = op in ("max_pool2d", "flatten", "relu") or networks.is_exact(op, params)
    folder.add(case_id, op, params, tensors, outputs32, outputs64, scale, exact)


def make_opinfo():
    folder, errors = Folder("opinfo"), 0
    for index, (source, op, params, tensors) in enumerate(sources.opinfo()):
        if not is_asked_for(op):
            continue
        if source == "opinfo_error":
            try:
                sources.call(op, params)(**tensors)
            except Exception:
                folder.add_error(f"opinfo/{op}/error_{index}", op, params, tensors)
                errors += 1
            continue
        add_call(folder, f"opinfo/{op}/{index}", op, params, tensors)
    folder.save()


def make_onnx():
    folder = Folder("onnx")
    for case_id, op, params, tensors, expected in sources.onnx_nodes():
        if is_asked_for(op):
            add_call(folder, case_id, op, params, tensors, expected)
    folder.save()


def make_roi_pool_tests():
    folder = Folder("roi_pool")
    for index, (params, input, boxes) in enumerate(sources.roi_pool_tests()):
        output = torchvision.ops.roi_pool(input, boxes, params["output_size"], params.get("spatial_scale", 1.0))
        outputs = {"output": output.double()}
        folder.add(f"torchvision/{index}", "roi_pool", params, {"input": input, "boxes": boxes}, {"output": output}, outputs, exact=True)
    folder.save()


def make_channels():
    """Kernels of 3 by 3 over many channels: what algorithms with transforms take, and where roundings add up."""
    torch.manual_seed(2)
    folder = Folder("channels")
    shapes = [
        # batch, channels, rows, columns, output channels, groups, padding
        (1, 64, 3, 3, 1, 1, 0), (1, 64, 6, 6, 4, 1, 0), (2, 65, 5, 7, 5, 1, 1), (3, 67, 9, 4, 3, 1, [2, 1]),
        (1, 72, 13, 12, 6, 1, 1), (2, 128, 7, 7, 8, 2, 1), (1, 66, 8, 5, 12, 1, "same"), (1, 64, 10, 18, 33, 1, 1),
        (1, 100, 9, 9, 4, 1, [0, 2]), (5, 64, 11, 6, 2, 1, 1), (1, 128, 6, 6, 7, 1, 1), (2, 192, 4, 5, 9, 3, 2),
        (1, 256, 5, 6, 4, 1, 1), (1, 512, 4, 4, 2, 1, "valid"), (1, 70, 8, 9, 5, 1, 1), (2, 64, 12, 5, 6, 1, 1),
    ]
    for index, (batch, channels, rows, columns, outputs, groups, padding) in enumerate(shapes):
        fan = channels // groups * 9
        tensors = {"input": torch.randn(batch, channels, rows, columns),
                   "weight": torch.randn(outputs, channels // groups, 3, 3) / math.sqrt(fan)}
        if index % 3:
            tensors["bias"] = torch.randn(outputs)
        if index % 4 == 1:
            tensors["input"] = tensors["input"].relu()
        if index % 5 == 4:
            tensors["weight"] = tensors["weight"].abs()
        add_call(folder, f"channels/conv2d/{index}", "conv2d", {"padding": padding, "groups": groups}, tensors)
    # Infinities, NaNs and values whose transforms overflow must spoil the outputs that they are in, and no others.
    for index, value in enumerate([math.inf, -math.inf, math.nan, 3e38]):
        input = torch.randn(2, 64, 9, 10)
        input[1, 3, 4, 5] = input[0, 31, 0, 9] = value
        tensors = {"input": input, "weight": torch.rand(3, 64, 3, 3) + 0.1, "bias": torch.randn(3)}
        add_call(folder, f"channels/conv2d/spoilt_{index}", "conv2d", {"padding": 1}, tensors)
    for index, channels in enumerate([200, 300]):
        input = torch.randn(1, channels, 6, 9)
        input[0, 5, 2, 2] = math.nan
        tensors = {"input": input, "weight": torch.randn(6, channels, 3, 3) / 40, "bias": torch.tensor([1, math.inf, 3, 4, 5, 6.0])}
        add_call(folder, f"channels/conv2d/spoilt_{index + 4}", "conv2d", {"padding": 1}, tensors)
    weight = torch.rand(5, 64, 3, 3)
    weight[2, 7, 1, 1] = math.inf
    add_call(folder, "channels/conv2d/spoilt_weight", "conv2d", {}, {"input": torch.rand(1, 64, 7, 7) + 0.1, "weight": weight})
    folder.save()


def in_short(array):
    """The first values of an array."""
    values = [f"{value:.6g}" for value in array.flatten()[:6].tolist()]
    more = ", .." if array.numel() > 6 else ""
    return f"{list(array.shape)}: {', '.join(values)}{more}"


def make_special():
    """Returns what PyTorch's own float32 does otherwise, as lines of a table."""
    torch.manual_seed(3)
    # As if no operator had been added later.
    special.rng.seed(7)
    folder, lines = Folder("special"), []
    for op, operator in special.OPERATORS.items():
        calls = special.draw(operator)
        if not is_asked_for(op):
            continue
        seed(op)
        index = 0
        while index < special.CASES * (2 if op in special.MANY_ARGUMENTS else 1):
            params, tensors = next(calls)
            try:
                outputs32, outputs64 = both(lambda **values: sources.call(op, params)(**values), tensors)
            except (RuntimeError, ValueError):
                continue
            is_empty = any(not o.numel() or is_nearly_zero(o) for o in outputs64.values() if o.is_floating_point())
            if is_empty or special.overflows(op, params, tensors, outputs64["output"]):
                continue
            case_id = f"special/{op}/{index}"
            lines += add_special(folder, case_id, op, params, tensors, outputs32, outputs64)
            index += 1
    folder.save()
    return lines


def add_special(folder, case_id, op, params, tensors, outputs32, outputs64):
    scale = None
    if op in ("conv2d", "conv_transpose2d"):
        finite = {k: torch.where(t.isfinite(), t, torch.zeros(())) for k, t in tensors.items()}
        scale = magnitudes(sources.call(op, params), finite)()
    if op in networks.OPERATORS:
        scale = networks.scale(op, params, tensors)
    exact = op in ("max_pool2d", "flatten", "relu") or networks.is_exact(op, params)
    folder.add(case_id, op, params, tensors, outputs32, outputs64, scale, exact)
    return of_other_kind(case_id, params, outputs32, outputs64)


def of_other_kind(case_id, params, outputs32, outputs64):
    """Lines of a table: where float32 is infinite, NaN or finite, and float64 is not."""
    lines = []
    for name, expected in outputs64.items():
        if not expected.is_floating_point():
            continue
        kinds = [o.float().nan_to_num(nan=2.0, posinf=1.0, neginf=-1.0).where(~o.float().isfinite(), torch.zeros(()))
                 for o in (outputs32[name], expected)]
        at = (kinds[0] != kinds[1]).flatten().nonzero().flatten().tolist()
        if at:
            values = [o.float().flatten()[at[0]].item() for o in (expected, outputs32[name])]
            names = ", ".join(f"{k} {v}" for k, v in params.items())
            lines.append(f"| {case_id} | {names} | {name}[{at[0]}] | {values[0]:.6g} | {values[1]:.6g} |")
    return lines


def corners_text():
    """CORNERS.md before its section of optional outputs, and from there on."""
    text = (HERE / "CORNERS.md").read_text()
    at = text.find(f"\n{optional_outputs.HEADING}\n")
    return (text, "") if at < 0 else (text[:at], text[at:])


def rows_to_stay():
    """CORNERS.md's rows of operators that are not asked for: corners, those refused, and what float32 does otherwise."""
    rows = [[], [], []]
    for line in corners_text()[0].splitlines() if ONLY else []:
        name = line.split(" ")[1] if line.startswith("| ") else ""
        op, _, index = name.removeprefix("special/").partition("/")
        if index and not is_asked_for(op):
            rows[2 if name.startswith("special/") else 1 if index.startswith("refused_") else 0].append(line)
    return rows


def make_corners(float32):
    """Also writes CORNERS.md, which lists them with what PyTorch gives, and what its float32 does otherwise."""
    folder = Folder("corners")
    taken, refused, old_float32 = rows_to_stay()
    for index, (op, text, params, tensors) in enumerate(corners.corners()):
        if not is_asked_for(op):
            continue
        case_id = f"corners/{op}/{index}"
        if op == "roi_pool":
            call = lambda input, boxes: {"output": torchvision.ops.roi_pool(input, boxes, params["output_size"], params.get("spatial_scale", 1.0))}
            outputs32 = call(**tensors)
            outputs64 = {name: output.double() for name, output in outputs32.items()}
            folder.add(case_id, op, params, tensors, outputs32, outputs64, exact=True)
        else:
            add_call(folder, case_id, op, params, tensors)
            outputs32 = sources.call(op, params)(**copies(tensors))
        shown = "; ".join(f"{name} {in_short(output)}" for name, output in outputs32.items())
        names = ", ".join(f"{k} {v}" for k, v in params.items() if k != "return_indices")
        taken.append(f"| {op}/{index} | {text} | {names} | {shown} |")
    for index, (op, text, params, tensors) in enumerate(corners.refused()):
        if not is_asked_for(op):
            continue
        try:
            sources.call(op, params)(**tensors)
        except Exception as error:
            reason = str(error).split("\n")[0]
        else:
            raise AssertionError(f"PyTorch takes {op}: {text}")
        folder.add_error(f"corners/{op}/refused_{index}", op, params, tensors)
        names = ", ".join(f"{k} {v}" for k, v in params.items())
        refused.append(f"| {op}/refused_{index} | {text} | {names} | an error: {reason} |")
    lines = ["# What PyTorch 2.11 does in the corners", "",
             "Written by `make.py`, which asked PyTorch (torchvision for roi_pool). Each line is a case in `corners/`.", "",
             "| case | corner | parameters | what PyTorch gives |", "|---|---|---|---|", *taken, *refused,
             "", "## What PyTorch's own float32 does otherwise", "",
             "In `special/`, where float64 is what is expected: the first element that is of another kind.", "",
             "| case | parameters | element | float64 | float32 |", "|---|---|---|---|---|", *old_float32, *float32]
    (HERE / "CORNERS.md").write_text("\n".join(lines) + "\n" + corners_text()[1])
    folder.save()


def make_bad_input():
    folder = Folder("bad_input")
    for index, (op, params, tensors) in enumerate(corners.bad_inputs()):
        if is_asked_for(op):
            folder.add_error(f"bad_input/{op}/{index}", op, params, tensors)
    folder.save()


def make_optional_outputs():
    """Also writes its corners into CORNERS.md."""
    seed(OPTIONAL_OUTPUTS)
    optional_outputs.rng.seed(OPTIONAL_OUTPUTS)
    folder, lines, float32 = Folder(OPTIONAL_OUTPUTS), [], []
    for op in optional_outputs.OPERATORS:
        index = 0
        for text, params, tensors in optional_outputs.calls(op, globals()[f"make_{op}"]):
            outputs32, outputs64 = both(getattr(optional_outputs, op)(params), tensors)
            if op == "roi_pool":
                if optional_outputs.has_the_same_bins(params, **tensors):
                    assert all(torch.equal(outputs32[name].to(o.dtype), o) for name, o in outputs64.items()), params
                # Bin edges are float32's.
                outputs64 = {name: double(output) for name, output in outputs32.items()}
            if any(is_nearly_zero(o) for o in outputs64.values() if o.is_floating_point()):
                assert not text, text
                continue
            case_id = f"{OPTIONAL_OUTPUTS}/{op}/{index}"
            folder.add(case_id, op, shown(params), tensors, outputs32, outputs64, exact=op == "roi_pool")
            float32 += of_other_kind(case_id, params, outputs32, outputs64)
            if text:
                values = "; ".join(f"{name} {in_short(output)}" for name, output in outputs32.items())
                names = ", ".join(f"{k} {v}" for k, v in params.items())
                lines.append(f"| {op}/{index} | {text} | {names} | {values} |")
            index += 1
    section = ["", optional_outputs.HEADING, "", f"Each line is a case in `{OPTIONAL_OUTPUTS}/`.", "",
               "| case | corner | parameters | what PyTorch gives |", "|---|---|---|---|", *lines,
               "", *optional_outputs.without_statistics(), "", "Where PyTorch's float32 gives an element of another kind than float64, which is what is expected:", "",
               "| case | parameters | element | float64 | float32 |", "|---|---|---|---|---|", *float32]
    (HERE / "CORNERS.md").write_text(corners_text()[0] + "\n".join(section) + "\n")
    folder.save()


if __name__ == "__main__":
    import warnings

    # mse_loss warns of the broadcasts that are drawn on purpose, max_pool2d of its return_indices.
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if not ONLY:
        make_report()
        make_roi_pool_tests()
        make_channels()
    if OPTIONAL_OUTPUTS not in ONLY:
        make_cases()
        make_opinfo()
        make_onnx()
        make_corners(make_special())
        make_bad_input()
    if not ONLY or OPTIONAL_OUTPUTS in ONLY:
        make_optional_outputs()
