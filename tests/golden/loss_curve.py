"""Makes loss_curve.safetensors beside this script: PyTorch trains a small network on the digits of examples/digits.

    python -m venv venv
    venv/bin/pip install torch==2.11.0 numpy==2.4.6 safetensors==0.8.0
    venv/bin/python tests/golden/loss_curve.py

Rows whose index is no multiple of 5 are the training set, in their order. Batch k has its rows (64 k + i) * 7919 modulo
their count, for i from 0 to 63. Pixels are divided by 16. The loss is the mean of cross_entropy, before each of 50 updates.

conv1.weight and so on are the float32 weights that all runs start from (running means of 0 and variances of 1 are not
there). By `sgd` and by `adam`: NAME/loss are the losses computed in float64, NAME/loss_float32 those of PyTorch's own
float32, both stored as float64; NAME/final/conv1.weight and so on the weights and running statistics after all updates,
computed in float64, as float32. Batch normalization takes away what conv1.bias and conv2.bias add, so their gradients are
rounding alone. In float32 adam makes steps of up to the learning rate of that, so there these two, and the running means
with them, come out by chance (0.02 away); losses do not depend on them.
"""

import gzip
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

assert torch.__version__.startswith("2.11.0"), torch.__version__

HERE = pathlib.Path(__file__).parent
BATCH, STEPS, STRIDE = 64, 50, 7919
OPTIMIZERS = {
    "sgd": lambda of: torch.optim.SGD(of, lr=0.05, momentum=0.9, weight_decay=1e-4, foreach=False),
    "adam": lambda of: torch.optim.Adam(of, lr=1e-3, foreach=False),
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(x.flatten(1))


def digits():
    """Images and classes of the training set, and of the rest."""
    with gzip.open(HERE / "../../examples/digits/digits.csv.gz", "rt") as lines:
        rows = torch.tensor([[int(number) for number in line.split(",")] for line in lines])
    images, classes = (rows[:, :64].float() / 16).reshape(-1, 1, 8, 8), rows[:, 64]
    is_test = torch.arange(len(rows)) % 5 == 0
    return [(images[chosen], classes[chosen]) for chosen in (~is_test, is_test)]


def train(first, optimizer, images, classes, kind):
    """The losses, and the trained network."""
    net = Net().to(kind)
    net.load_state_dict(first)
    optimizer, losses = optimizer(net.parameters()), []
    for k in range(STEPS):
        rows = (BATCH * k + torch.arange(BATCH)) * STRIDE % len(images)
        loss = F.cross_entropy(net(images[rows].to(kind)), classes[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64), net


def weights(net):
    return {name: t.float() for name, t in net.state_dict().items() if t.is_floating_point()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    (images, classes), (test_images, test_classes) = digits()
    assert (len(images), len(test_images)) == (1437, 360)
    torch.manual_seed(0)
    net = Net()
    first = {name: t.clone() for name, t in net.state_dict().items()}
    tensors = {name: t for name, t in weights(net).items() if "running" not in name}
    for name, optimizer in OPTIMIZERS.items():
        (losses32, net32), (losses, net) = (train(first, optimizer, images, classes, kind) for kind in (torch.float32, torch.float64))
        tensors |= {f"{name}/loss": losses, f"{name}/loss_float32": losses32}
        tensors |= {f"{name}/final/{of}": t for of, t in weights(net).items()}
        apart = (losses - losses32).abs()
        most = {of: (t - net32.state_dict()[of].double()).abs().max().item() for of, t in net.state_dict().items()}
        right = (net.eval()(test_images.double()).argmax(1) == test_classes).sum().item()
        print(f"{name}: loss {losses[0]:.6f} to {losses[-1]:.6f}; float32 is {apart.max():.3g} away at most, at step {apart.argmax()},"
              f" {(apart / losses).max():.3g} of the loss; {right} of {len(test_classes)} of the test set are right")
        print("  final values are away by", ", ".join(f"{of} {error:.2g}" for of, error in most.items() if error))
    path = HERE / "loss_curve.safetensors"
    save_file(tensors, path)
    print(len(tensors), "tensors,", path.stat().st_size, "bytes")
