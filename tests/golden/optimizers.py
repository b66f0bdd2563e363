"""Makes optimizers.safetensors beside this script: 50 steps of PyTorch's SGD, Adam and AdamW.

    python -m venv venv
    venv/bin/pip install torch==2.11.0 numpy==2.4.6 safetensors==0.8.0
    venv/bin/python tests/golden/optimizers.py

`param` is what all start from, `grads` has the gradients of each step, both float32. NAME/param/STEP is the parameter after
that many steps, NAME/momentum_buffer/STEP, NAME/exp_avg/STEP and NAME/exp_avg_sq/STEP are states: computed in float64 from
the float32 numbers, rounded to float32 once. The metadata `configurations` is a list with each name, operator, its
parameters, the learning rate, and `error_float32`: how far PyTorch's own float32 is away at most, by param/STEP and so on.
"""

import json
import pathlib

import numpy
import torch
from safetensors.numpy import save_file

assert torch.__version__.startswith("2.11.0"), torch.__version__

STEPS, ELEMENTS = 50, 300
SHOWN = (1, 2, 10, 50)
MOMENTUM = {"momentum": 0.9}
CONFIGURATIONS = [
    ("sgd", "sgd", {}, 0.1),
    ("sgd_momentum", "sgd", MOMENTUM, 0.1),
    ("sgd_dampening", "sgd", {**MOMENTUM, "dampening": 0.3}, 0.1),
    ("sgd_nesterov", "sgd", {**MOMENTUM, "nesterov": True}, 0.1),
    ("sgd_weight_decay", "sgd", {**MOMENTUM, "weight_decay": 0.01}, 0.1),
    ("sgd_maximize", "sgd", {**MOMENTUM, "maximize": True}, 0.1),
    ("sgd_nesterov_weight_decay", "sgd", {**MOMENTUM, "nesterov": True, "weight_decay": 0.01}, 0.1),
    ("adam", "adam", {}, 1e-3),
    ("adam_weight_decay", "adam", {"weight_decay": 0.01}, 1e-3),
    ("adam_betas", "adam", {"betas": [0.5, 0.9]}, 1e-3),
    ("adam_eps", "adam", {"eps": 1e-3}, 1e-3),
    ("adam_maximize", "adam", {"maximize": True}, 1e-3),
    ("adamw", "adam", {"weight_decay": 0.01, "decoupled_weight_decay": True}, 1e-3),
    ("adamw_more", "adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, 1e-2),
]
STATES = {"sgd": ["momentum_buffer"], "adam": ["exp_avg", "exp_avg_sq"]}


def gradients():
    """Of many sizes; every tenth element is 0 in most steps, and one of those always."""
    grads = torch.randn(STEPS, ELEMENTS) * 10 ** (torch.rand(ELEMENTS) * 7 - 6)
    is_zero = torch.rand(STEPS, ELEMENTS) < 0.9
    is_zero[:, torch.arange(ELEMENTS) % 10 != 3] = False
    is_zero[:, 3] = True
    return grads.masked_fill(is_zero, 0.0)


def run(op, params, lr, param, grads, kind):
    """The parameter and the states after each step that is shown."""
    param = torch.nn.Parameter(param.to(kind).clone())
    params, of = dict(params), torch.optim.SGD
    if op == "adam":
        of = torch.optim.AdamW if params.pop("decoupled_weight_decay", False) else torch.optim.Adam
        params = {"weight_decay": 0, **params}
    # What the float32 is as a Python number.
    optimizer = of([param], lr=float(numpy.float32(lr)), **params, foreach=False)
    shown = {}
    for step, grad in enumerate(grads, 1):
        param.grad = grad.to(kind)
        optimizer.step()
        if step in SHOWN:
            shown[f"param/{step}"] = param.detach().clone()
            for name in STATES[op]:
                if optimizer.state[param].get(name) is not None:
                    shown[f"{name}/{step}"] = optimizer.state[param][name].clone()
    return shown


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(50)
    param, grads = torch.randn(ELEMENTS), gradients()
    tensors, configurations = {"param": param.numpy(), "grads": grads.numpy()}, []
    for name, op, params, lr in CONFIGURATIONS:
        runs = [run(op, params, lr, param, grads, kind) for kind in (torch.float32, torch.float64)]
        errors = {shown: (runs[0][shown].double() - expected).abs().max().item() for shown, expected in runs[1].items()}
        tensors |= {f"{name}/{shown}": expected.float().numpy() for shown, expected in runs[1].items()}
        configurations.append({"name": name, "op": op, "params": params, "lr": lr, "error_float32": errors})
        print(f"{name:28}", {shown: f"{error:.3g}" for shown, error in errors.items() if shown.endswith("/50")})
    path = pathlib.Path(__file__).parent / "optimizers.safetensors"
    save_file(tensors, path, {"configurations": json.dumps(configurations, allow_nan=False)})
    print(len(tensors), "tensors,", path.stat().st_size, "bytes")
