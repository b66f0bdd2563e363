"""What PyTorch computes by small versions of the networks of examples/networks, in float64: small_networks/NAME.safetensors.

    python small_networks.py      # torch 2.11.0, torchvision 0.26.0

Weights and inputs come from their names by integers, here and in tests/ops/networks.rs alike, so only outputs are stored,
and as metadata the shapes of the state_dict and of the input.
"""

import math
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as models
from safetensors.torch import save_file


def numbers(name, shape):
    """Multiples of 2^-24 from -0.5 on and below 0.5."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    x ^= x >> 16
    return torch.from_numpy((x >> 8).astype(np.float32).reshape(shape) / np.float32(2**24) - np.float32(0.5))


def value(name, shape):
    """A tensor of a state_dict. Weights are scaled by powers of two, such that the sizes of values stay alike."""
    x = numbers(name, shape)
    if name.endswith("running_var"):
        return 1 + x
    if name.endswith("running_mean") or name.endswith("bias"):
        return x / 4
    if len(shape) > 1:
        return x * 2.0 ** (2 - math.prod(shape[1:]).bit_length() // 2)
    # Of batch norm, or slopes.
    return x / 2 + (0.25 if "prelu" in name else 1)


class DoubleConv(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                         nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down = nn.ModuleList([DoubleConv(3, c), DoubleConv(c, 2 * c), DoubleConv(2 * c, 4 * c), DoubleConv(4 * c, 8 * c)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(i * c, i * c // 2, 2, 2) for i in (8, 4, 2)])
        self.join = nn.ModuleList([DoubleConv(i * c, i * c // 2) for i in (8, 4, 2)])
        self.head = nn.Conv2d(c, 3, 1)

    def forward(self, x):
        kept = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1]):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


def dcgan(c):
    layers = []
    for i, o, stride, padding in ((100, 8 * c, 1, 0), (8 * c, 4 * c, 2, 1), (4 * c, 2 * c, 2, 1), (2 * c, c, 2, 1)):
        layers += [nn.ConvTranspose2d(i, o, 4, stride, padding, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(c, 3, 4, 2, 1, bias=False), nn.Tanh())


class PNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x):
        x = F.max_pool2d(self.prelu1(self.conv1(x)), 2, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return torch.cat([torch.softmax(self.conv4_1(x), 1), self.conv4_2(x)], 1)


def vgg11_bn(c):
    """torchvision's, with c instead of 64 channels in the first layer, and 64 c instead of 4096 features."""
    cfg = [c, "M", 2 * c, "M", 4 * c, 4 * c, "M", 8 * c, 8 * c, "M", 8 * c, 8 * c, "M"]
    net = models.VGG(nn.Identity(), num_classes=10, init_weights=False)
    net.features = models.vgg.make_layers(cfg, batch_norm=True)
    net.classifier[0] = nn.Linear(8 * c * 7 * 7, 64 * c)
    net.classifier[3] = nn.Linear(64 * c, 64 * c)
    net.classifier[6] = nn.Linear(64 * c, 10)
    return net


NETWORKS = {
    "resnet18": (models.resnet18(num_classes=10), (2, 3, 64, 64)),
    "mobilenet_v2": (models.mobilenet_v2(num_classes=10, width_mult=0.35), (1, 3, 96, 64)),
    "vgg11_bn": (vgg11_bn(8), (1, 3, 64, 96)),
    "unet": (UNet(8), (2, 3, 32, 48)),
    "dcgan": (dcgan(8), (3, 100, 1, 1)),
    "pnet": (PNet(), (2, 3, 37, 51)),
}

if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / "small_networks"
    folder.mkdir(exist_ok=True)
    for name, (net, shape) in NETWORKS.items():
        shapes = {"input": str(list(shape))}
        for key, tensor in net.state_dict().items():
            if tensor.dtype == torch.float32:
                tensor.copy_(value(key, tuple(tensor.shape)))
                shapes[key] = str(list(tensor.shape))
        net.double().eval()
        input = numbers("input", shape)
        with torch.no_grad():
            output = net(input.double()).float().contiguous()
            in_float32 = net.float()(input)
        error = (in_float32 - output).abs().max().item()
        print(f"{name}: {tuple(output.shape)}, up to {output.abs().max().item():.3g}, mean {output.abs().mean().item():.3g}, PyTorch's float32 is off by {error:.2g}")
        save_file({"output": output}, folder / f"{name}.safetensors", shapes)
