"""The weights of MTCNN in facenet-pytorch's wheel, as safetensors. It needs Python alone.

    pip download --no-deps facenet-pytorch==2.6.0
    python export.py facenet_pytorch-2.6.0-py3-none-any.whl FOLDER
"""
import array, collections, io, itertools, json, pathlib, pickle, struct, sys, zipfile


class Names(pickle.Unpickler):
    """Reads a tensor as the key of its data, its shape and its strides."""
    persistent_load = staticmethod(lambda storage: storage[2])

    def find_class(self, module, name):
        return collections.OrderedDict if name == "OrderedDict" else lambda key=0, _=0, *of: (key, *of[:2])


wheel, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
for net in ("pnet", "rnet", "onet"):
    file = io.BytesIO(wheel.read(f"facenet_pytorch/data/{net}.pt"))
    magic, version, machine = (pickle.load(file) for _ in range(3))
    tensors, data, header, rows = Names(file).load(), {}, {}, array.array("f")
    for key in pickle.load(file):
        data[key] = array.array("f", file.read(4 * struct.unpack("<q", file.read(8))[0]))
    for name, (key, shape, strides) in tensors.items():
        begin, indices = 4 * len(rows), itertools.product(*map(range, shape))
        rows.extend(data[key][sum(map(int.__mul__, index, strides))] for index in indices)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, 4 * len(rows)]}
    text = json.dumps(header).encode()
    (folder / f"{net}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + rows.tobytes())
