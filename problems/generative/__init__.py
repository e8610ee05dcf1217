"""Pictures to rank: a bundled model of emoji-like pictures, and the door to any diffusion pipeline in a local folder.

`emoji()` needs safetensors, `from_folder` diffusers: both come with the extra `generative`.

A `recipe` holds all that one picture is made of, and `redraw` draws it again.

The bundled weights were learnt from Noto Emoji (Google, Apache License 2.0) by `problems.generative.train`.
"""

from problems.generative.bundled import EmojiPictures, emoji
from problems.generative.pipeline import PipelinePictures, from_folder
from problems.generative.recipe import model_hash, recipe, redraw

__all__ = ["EmojiPictures", "PipelinePictures", "emoji", "from_folder", "model_hash", "recipe", "redraw"]
