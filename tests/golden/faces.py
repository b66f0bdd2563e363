"""What facenet-pytorch finds in pictures of scikit-image, as faces.json, and in one beside its mirror image.

    python faces.py FOLDER      # FOLDER holds astronaut.png, chelsea.png and coffee.png; facenet-pytorch 2.6.0, torch 2.11.0
"""
import json
import pathlib
import sys

import numpy as np
from facenet_pytorch import MTCNN
from PIL import Image

folder = pathlib.Path(sys.argv[1])
pictures = {name: np.array(Image.open(folder / f"{name}.png").convert("RGB")) for name in ("astronaut", "chelsea", "coffee")}
pictures["mirrored"] = np.concatenate([pictures["astronaut"], pictures["astronaut"][:, ::-1]], 1)

found = {}
for name, picture in pictures.items():
    boxes, probabilities, points = MTCNN(keep_all=True).detect(Image.fromarray(picture), landmarks=True)
    faces = [] if boxes is None else zip(boxes, probabilities, points)
    number = lambda x: round(float(x), 6)
    found[name] = [{
        "box": [number(x) for x in box],
        "probability": round(float(probability), 9),
        "points": [[number(x) for x in point] for point in of_face],
    } for box, probability, of_face in faces]
lines = ",\n".join(f'"{name}": {json.dumps(faces)}' for name, faces in found.items())
(pathlib.Path(__file__).parent / "faces.json").write_text("{\n" + lines + "\n}\n")
