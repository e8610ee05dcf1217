"""Train the bundled picture model on Noto Emoji.

    npm pack emoji-datasource-google@16.0.0
    export OMP_NUM_THREADS=1
    python -m problems.generative.train emoji-datasource-google-16.0.0.tgz --steps 5000 --stop 3000
    python -m problems.generative.train emoji-datasource-google-16.0.0.tgz --steps 800 --seed 1 --onwards

The pictures are those of Noto Emoji 2.048 (Google, Apache License 2.0) as the npm package emoji-datasource-google
ships them: faces, animals and food, on white, scaled to 32 x 32. They are mirrored, moved, scaled and turned in hue by
chance, so that the model has a range of colours to offer. About 30 minutes on one
core: the first run at a high rate, the second, from the mean of its weights, brings the rate down to 0.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from problems.generative.network import SIDE, PictureNetwork, schedule

CATEGORIES = ("Smileys & Emotion", "Animals & Nature", "Food & Drink")
WEIGHTS = Path(__file__).with_name("weights.safetensors")
_FOLDER = "package/img/google/64/"
_BATCH = 64
_RATE = 1e-3
_WARM = 200  # steps
_KEEP = 0.998  # of the running mean of the weights, a step
_TURNED = 0.5  # share of pictures whose hue is turned
_MOVED, _SCALED = 0.06, 0.08  # standard deviations, of half a side and relative


def read_pictures(archive: Path) -> Tensor:
    """Emoji of the chosen categories on white, shape (n, 3, 32, 32), values in [-1, 1]."""
    pictures = []
    with tarfile.open(archive) as package:
        listing = json.load(package.extractfile("package/emoji.json"))  # type: ignore[arg-type]
        chosen = [one["image"] for one in listing if one["category"] in CATEGORIES and one["has_img_google"]]
        for name in sorted(chosen):
            member = package.extractfile(_FOLDER + name)
            assert member is not None
            drawn = Image.open(io.BytesIO(member.read())).convert("RGBA")
            paper = Image.new("RGBA", drawn.size, "white")
            small = Image.alpha_composite(paper, drawn).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            pictures.append(np.asarray(small, dtype=np.float32) / 127.5 - 1.0)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def varied(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures (b, 3, 32, 32) mirrored, moved, scaled and turned in hue by chance."""
    b = len(pictures)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    mirrored = 2.0 * (torch.rand(b, generator=generator) < 0.5) - 1.0
    grow = torch.exp(_SCALED * normal(b))
    maps = torch.zeros(b, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = mirrored * grow, grow, _MOVED * normal(b, 2)
    grid = functional.affine_grid(maps, list(pictures.shape), align_corners=False)
    # White outside: what is sampled is the distance to white.
    moved = 1.0 - functional.grid_sample(1.0 - pictures, grid, mode="bilinear", align_corners=False)
    angle = 2.0 * math.pi * torch.rand(b, generator=generator) * (torch.rand(b, generator=generator) < _TURNED)
    return torch.einsum("bij,bjhw->bihw", _hue_turn(angle), moved).clamp(-1.0, 1.0)


def _hue_turn(angle: Tensor) -> Tensor:
    """Rotations (b, 3, 3) of colours about the grey axis, which they keep (Rodrigues' formula)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3.0)
    return cos * torch.eye(3) + sin * cross + (1.0 - cos) / 3.0


def train(pictures: Tensor, steps: int, stop: int, seed: int, out: Path, *, onwards: bool) -> None:
    """Fit the network to the pictures, and write the running mean of its weights as float16.

    Args:
        pictures: To learn from, shape (n, 3, 32, 32).
        steps: After which the rate would be 0.
        stop: After which to end.
        seed: Of the initial weights, and of everything drawn.
        out: Where to write.
        onwards: Begin with the weights that are there, at half the rate.
    """
    torch.manual_seed(seed)  # of the initial weights
    generator = torch.Generator().manual_seed(seed)
    network = PictureNetwork()
    rate = 0.5 * _RATE if onwards else _RATE
    if onwards:
        network.load_state_dict({name: weights.float() for name, weights in load_file(out).items()})
    kept = {name: weights.detach().clone() for name, weights in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-3)
    begun = time.monotonic()
    shown = 0.0
    for step in range(1, stop + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(step / _WARM, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        rows = torch.randint(len(pictures), (_BATCH,), generator=generator)
        x = varied(pictures[rows], generator)
        t = (torch.rand(1, generator=generator) + torch.arange(_BATCH) / _BATCH) % 1.0  # evenly spread
        noise = torch.randn(x.shape, generator=generator)
        alpha, sigma = schedule(t)
        with torch.autocast("cpu", torch.bfloat16):
            v = network(alpha * x + sigma * noise, t)
        loss = (v.float() - (alpha * noise - sigma * x)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        keep = min(_KEEP, step / (step + 10.0))
        for name, weights in network.state_dict().items():
            kept[name].lerp_(weights, 1.0 - keep)
        shown += float(loss.detach())
        if step % 250 == 0:
            print(f"step {step}, loss {shown / 250:.4f}, {time.monotonic() - begun:.0f} s", flush=True)
            shown = 0.0
        if step % 1000 == 0 or step == stop:
            save_file({name: weights.half().contiguous() for name, weights in kept.items()}, out)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="the npm package, as `npm pack` saves it")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--stop", type=int, help="end after so many steps, the rate being what it then is")
    parser.add_argument("--onwards", action="store_true", help="begin with the weights that are there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    stop = chosen.stop or chosen.steps
    train(read_pictures(chosen.archive), chosen.steps, stop, chosen.seed, chosen.out, onwards=chosen.onwards)


if __name__ == "__main__":
    main()
