"""Cases that others wrote: PyTorch's OpInfo samples, ONNX's backend node tests, torchvision's roi_pool tests."""

import inspect
import math

import numpy
import torch
import torch.nn.functional as F
import torchvision
from torch.testing._internal.common_methods_invocations import op_db

import networks


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    pass


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    pass


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    pass


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    pass


def flatten(input, start_dim=0, end_dim=-1):
    pass


def sigmoid(input):
    pass


def relu(input):
    pass


# PyTorch's own signatures, where it has none that can be read.
SIGNATURES = {f.__name__: inspect.signature(f)
              for f in [max_pool2d, avg_pool2d, conv2d, conv_transpose2d, flatten, sigmoid, relu]}
SIGNATURES |= {name: inspect.signature(getattr(F, name)) for name in ["batch_norm", "cross_entropy", "mse_loss"]}
SIGNATURES |= networks.SIGNATURES

# Operators that were added later. Their cases come last, and their random numbers are their own, so that the cases of
# those before stay as they are.
LATER = ["relu", *networks.OPERATORS]

TENSORS = {"input", "weight", "bias", "target", "running_mean", "running_var", "other", "tensors"}
# The most samples of an operator of networks.
SAMPLES = 60


def when_added(op):
    """A key for sorting: operators that were added later come later."""
    return LATER.index(op) + 1 if op in LATER else 0


def call(op, params):
    """The operator as a function of its tensors that gives all its outputs by name."""
    if op in networks.OPERATORS:
        return networks.call(op, params)
    if op in ("flatten", "sigmoid", "relu"):
        return lambda **tensors: {"output": getattr(torch, op)(**tensors, **params)}
    if op == "max_pool2d" and params.get("return_indices"):
        plain = {k: v for k, v in params.items() if k != "return_indices"}

        def with_indices(input):
            output, indices = F.max_pool2d(input, **plain, return_indices=True)
            return {"output": output, "indices": indices}

        return with_indices
    if op == "roi_pool":
        # Only the input becomes float64: the bins' edges are what float32 makes them.
        def roi_pool(input, boxes):
            output = torchvision.ops.roi_pool(input.float(), boxes.float(), params["output_size"], params.get("spatial_scale", 1.0))
            return {"output": output.to(input.dtype)}

        return roi_pool
    if op == "batch_norm":

        def batch_norm(input, running_mean=None, running_var=None, weight=None, bias=None):
            outputs = {"output": F.batch_norm(input, running_mean, running_var, weight, bias, **params)}
            if params.get("training") and running_mean is not None:
                outputs |= {"running_mean": running_mean, "running_var": running_var}
            return outputs

        return batch_norm
    return lambda **tensors: {"output": getattr(F, op)(**tensors, **params)}


def plain(value):
    """A parameter as JSON has it."""
    if isinstance(value, (tuple, list, torch.Size)):
        return [plain(item) for item in value]
    return value


def bind(op, arguments, keywords):
    """Tensors and parameters of a call, by name; None where it takes what its operator has not got."""
    bound = SIGNATURES[op].bind(*arguments, **keywords).arguments
    tensors = {k: v for k, v in bound.items() if k in TENSORS and v is not None and not isinstance(v, (int, float))}
    params = {k: plain(v) for k, v in bound.items() if k not in TENSORS and v is not None}
    # A pooling's empty stride is its default, and so are empty and one-element lists elsewhere what they stand for.
    params = {k: v for k, v in params.items() if v != [] or k in networks.LISTS}
    params = {k: v[0] if isinstance(v, list) and len(v) == 1 and k not in networks.LISTS else v for k, v in params.items()}
    return tensors, params


def opinfo():
    """(source, op, params, tensors) of every sample of PyTorch's OpInfo database."""
    name = lambda info: info.name.removeprefix("nn.functional.")
    size = lambda input: sum(torch.as_tensor(t).numel() for t in (input if isinstance(input, (list, tuple)) else [input]))
    count = {op: 0 for op in networks.OPERATORS}
    for info in sorted(op_db, key=lambda info: when_added(name(info))):
        op = name(info)
        if op not in SIGNATURES or info.name == "nn.functional.batch_norm" and info.variant_test_name:
            continue
        torch.manual_seed(7)
        # Of the reference inputs, which are more of the same, those that are small.
        more = [sample for sample in info.reference_inputs("cpu", torch.float32) if size(sample.input) <= 1024]
        samples = list(info.sample_inputs("cpu", torch.float32))
        for sample in samples + more[len(samples):]:
            try:
                tensors, params = bind(op, [sample.input, *sample.args], sample.kwargs)
            except TypeError:
                continue
            if op in networks.OPERATORS:
                if count[op] == SAMPLES or not networks.is_ours(op, params, tensors):
                    continue
                count[op] += 1
            yield "opinfo", op, params, tensors
        if info.error_inputs_func:
            for error in info.error_inputs("cpu"):
                sample = error.sample_input
                try:
                    tensors, params = bind(op, [sample.input, *sample.args], sample.kwargs)
                except TypeError:
                    continue
                if not networks.is_ours(op, params, tensors):
                    continue
                yield "opinfo_error", op, params, tensors


ONNX = {"Conv": "conv2d", "ConvTranspose": "conv_transpose2d", "MaxPool": "max_pool2d", "AveragePool": "avg_pool2d",
        "GlobalAveragePool": "avg_pool2d", "GlobalMaxPool": "max_pool2d", "Sigmoid": "sigmoid", "Flatten": "flatten",
        "Relu": "relu", "BatchNormalization": "batch_norm", "SoftmaxCrossEntropyLoss": "cross_entropy", "MaxRoiPool": "roi_pool",
        **networks.ONNX}


def onnx_nodes():
    """(source, op, params, tensors, expected) of ONNX's backend node tests that a single call of ours can answer."""
    import onnx
    from onnx.backend.test.case.node import collect_testcases

    for case in sorted(collect_testcases(None), key=lambda case: when_added(ONNX.get(case.model.graph.node[0].op_type))):
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in ONNX:
            continue
        node = nodes[0]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs, outputs = case.data_sets[0]
        inputs = [torch.as_tensor(numpy.array(x)) for x in inputs]
        outputs = [torch.as_tensor(numpy.array(x)) for x in outputs]
        if node.op_type in networks.ONNX:
            attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
            names = [name for name in node.input if name]
            mapped = networks.map_onnx(node.op_type, attributes, names, inputs, outputs)
        else:
            mapped = map_onnx(node.op_type, attributes, inputs, outputs)
        if mapped:
            params, tensors, expected = mapped
            flat = [t for value in tensors.values() for t in (value if isinstance(value, list) else [value])]
            if all(t.dtype in (torch.float32, torch.int64) for t in [*flat, *expected.values()]):
                yield f"onnx/{case.name}", ONNX[node.op_type], params, tensors, expected


def map_onnx(kind, attributes, inputs, outputs):
    attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
    image = inputs[0]
    pads = attributes.get("pads", [0, 0, 0, 0])
    symmetric = len(pads) == 4 and pads[:2] == pads[2:]
    if kind in ("Conv", "ConvTranspose", "MaxPool", "AveragePool"):
        if image.dim() != 4 or not symmetric or "output_shape" in attributes:
            return None
        if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            return None
    window = {}
    for name, onnx_name in [("stride", "strides"), ("dilation", "dilations")]:
        if onnx_name in attributes:
            window[name] = list(attributes[onnx_name])
    if any(pads):
        window["padding"] = list(pads[:2])
    if kind in ("Conv", "ConvTranspose"):
        if "group" in attributes:
            window["groups"] = attributes["group"]
        if "output_padding" in attributes:
            window["output_padding"] = list(attributes["output_padding"])
        tensors = dict(zip(["input", "weight", "bias"], inputs))
        return window, tensors, {"output": outputs[0]}
    if kind in ("MaxPool", "AveragePool"):
        window["kernel_size"] = list(attributes["kernel_shape"])
        window.setdefault("stride", [1, 1])
        if attributes.get("ceil_mode"):
            window["ceil_mode"] = True
        if kind == "AveragePool":
            if window.pop("dilation", [1, 1]) != [1, 1]:
                return None
            window["count_include_pad"] = bool(attributes.get("count_include_pad", 0))
        if attributes.get("storage_order"):
            return None
        # ONNX allows more padding than PyTorch.
        if any(2 * p > k for p, k in zip(pads[:2], window["kernel_size"])):
            return None
        expected = {"output": outputs[0]}
        if len(outputs) > 1 and image.shape[:2] == (1, 1):
            window["return_indices"] = True
            expected["indices"] = outputs[1]
        return window, {"input": image}, expected
    if kind in ("GlobalAveragePool", "GlobalMaxPool"):
        return {"kernel_size": list(image.shape[2:])}, {"input": image}, {"output": outputs[0]}
    if kind in ("Sigmoid", "Relu"):
        return {}, {"input": image}, {"output": outputs[0]}
    if kind == "Flatten":
        axis = attributes.get("axis", 1)
        # Ours keeps the dimensions before; only where those are one is it ONNX's.
        if axis not in (1, 1 - image.dim()):
            return None
        return {"start_dim": 1}, {"input": image}, {"output": outputs[0]}
    if kind == "BatchNormalization":
        if attributes.get("training_mode"):
            return None
        names = ["input", "weight", "bias", "running_mean", "running_var"]
        params = {"eps": attributes["epsilon"]} if "epsilon" in attributes else {}
        return params, dict(zip(names, inputs)), {"output": outputs[0]}
    if kind == "SoftmaxCrossEntropyLoss":
        if len(outputs) > 1:
            return None
        params = {"reduction": attributes.get("reduction", "mean")}
        if "ignore_index" in attributes:
            params["ignore_index"] = attributes["ignore_index"]
        return params, dict(zip(["input", "target", "weight"], inputs)), {"output": outputs[0]}
    return None


def roi_pool_tests():
    """The problems of torchvision's test/test_ops.py::TestRoIPool: (params, input, boxes)."""
    torch.manual_seed(0)
    pool_size = 5
    # RoIOpTester.test_forward: 10 images of 2 * pool_size^2 channels, also not contiguous.
    n_channels = 2 * pool_size**2
    x = torch.rand(2, n_channels, 10, 10)
    for contiguous in (True, False):
        y = x if contiguous else x.permute(0, 1, 3, 2)
        rois = torch.tensor([[0, 0, 0, 9, 9], [0, 0, 5, 4, 9], [0, 5, 5, 9, 9], [1, 0, 0, 9, 9]], dtype=torch.float32)
        yield {"output_size": pool_size}, y, rois
        yield {"output_size": pool_size, "spatial_scale": 1.0}, y, [rois[rois[:, 0] == i][:, 1:] for i in (0, 1)]
    # Boxes beside the image, reversed, of one position, and between positions, each behind one inside the image.
    x = torch.rand(1, 2, 8, 8)
    for boxes in ([[0, -4, -4, -1, -1]], [[0, 20, 20, 30, 30]], [[0, 6, 6, 2, 2]], [[0, 3, 3, 3, 3]], [[0, 0.5, 0.5, 3.5, 4.5]]):
        for size in (1, 2, 3, 7):
            for scale in (1.0, 0.5, 2.0):
                yield {"output_size": size, "spatial_scale": scale}, x, torch.tensor([[0, 1, 1, 5, 5], *boxes], dtype=torch.float32)
