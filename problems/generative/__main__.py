"""Draw the picture of a recipe again: `python -m problems.generative RECIPE.json PICTURE.png [--folder FOLDER]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from problems.generative.recipe import redraw
from workbench.errors import ProblemError


def main(words: list[str] | None = None) -> None:
    """Read the recipe, write the picture."""
    parser = argparse.ArgumentParser(prog="python -m problems.generative", description="Draw a picture by its recipe.")
    parser.add_argument("recipe", type=Path, help="the JSON file that the Filmstrip gives")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--folder", type=Path, help="where the pipeline lies now, if it has moved")
    asked = parser.parse_args(words)
    try:
        picture = redraw(json.loads(asked.recipe.read_text()), asked.folder)
    except (ProblemError, ValueError, OSError) as error:
        sys.exit(f"Nothing was drawn: {error}")
    asked.picture.write_bytes(picture.data)


if __name__ == "__main__":
    main()
