"""The table of networks: ours, eager and recorded, beside ONNX Runtime WebGPU, ncnn Vulkan and PyTorch on the CPU.

    cargo build --release --features cli --example networks
    python benches/networks.py NETS.PY FOLDER [--only resnet18,unet] [--rounds 3]

NETS.PY writes FOLDER/NET.safetensors with the weights, the input and the output in float64, and times the peers:
`NETS.PY FOLDER --only NET --peers ncnn --out FILE`. Everything takes turns, so that all have the same minutes; a figure is the
median over rounds. A network's row has the milliseconds of a forward pass with upload and read-back, the largest difference
where it exceeds 1e-4 of the largest output, and the time of the better of ncnn and ONNX Runtime over ours.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

NETS = ["resnet18", "mobilenet_v2", "vgg11_bn", "unet", "dcgan", "pnet"]
OURS = {"eager": [], "recorded": ["--recorded"]}
PEERS = {"ncnn": "ncnn", "ort": "ONNX Runtime", "torch": "PyTorch CPU"}


def ours(program, net, folder, flags):
    """A record of the example `networks`."""
    command = [program, net, folder / f"{net}.safetensors", "--json", *flags]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE).stdout)


def peer(script, net, folder, name):
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        command = [sys.executable, script, folder, "--only", net, "--peers", name, "--out", file.name]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return json.loads(pathlib.Path(file.name).read_text().splitlines()[-1])


def cell(records, ref_max):
    times = [record["median_ms"] for record in records]
    if None in times:
        return "-"
    # NaN, which JSON may have as null, is the largest.
    errors = [math.nan if record["max_abs_err"] is None else record["max_abs_err"] for record in records]
    error = max(errors, key=lambda error: (math.isnan(error), error))
    wrong = "" if error <= 1e-4 * ref_max else f" (off by {error:.1g})"
    return f"{statistics.median(times):.3g}{wrong}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default=",".join(NETS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default=pathlib.Path(__file__).parent.parent / "target/release/examples/networks")
    options = parser.parse_args()
    print("| net | eager | recorded | dispatches | MB, eager | MB, recorded | ncnn | ONNX Runtime | PyTorch CPU | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    ratios = []
    for net in options.only.split(","):
        records = {name: [] for name in [*PEERS, *OURS]}
        for _ in range(options.rounds):
            for name in PEERS:
                records[name].append(peer(options.script, net, options.folder, name))
            for name, flags in OURS.items():
                records[name].append(ours(options.program, net, options.folder, flags))
        first = records["eager"][0]
        cells = {name: cell(of, first["ref_max"]) for name, of in records.items()}
        megabytes = [f"{records[name][0]['peak_bytes'] / 1e6:.3g}" for name in OURS]
        median = lambda name: statistics.median(record["median_ms"] or math.inf for record in records[name])
        ratio = min(median("ncnn"), median("ort")) / median("eager")
        ratios.append(ratio)
        row = [net, *(cells[name] for name in OURS), first["dispatches"], *megabytes, *(cells[name] for name in PEERS)]
        print("| " + " | ".join(str(cell) for cell in [*row, f"{ratio:.2f}"]) + " |", flush=True)
    print(f"\nGeometric mean of the ratios: {math.prod(ratios) ** (1 / len(ratios)):.2f}")


if __name__ == "__main__":
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    main()
