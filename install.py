"""Run by the WebUI before it starts: installs what requirements.txt names and the WebUI lacks."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"

SHIPPED_BY_HOST = frozenset(
    {
        "accelerate",
        "einops",
        "fastapi",
        "gradio",
        "gradio-client",
        "huggingface-hub",
        "httpcore",
        "httpx",
        "k-diffusion",
        "kornia",
        "numpy",
        "omegaconf",
        "open-clip-torch",
        "opencv-python",
        "pillow",
        "protobuf",
        "pydantic",
        "pytorch-lightning",
        "safetensors",
        "scikit-image",
        "scipy",
        "setuptools",
        "starlette",
        "tokenizers",
        "torch",
        "torchdiffeq",
        "torchsde",
        "torchvision",
        "transformers",
        "xformers",
    }
)
"""Never installed from here: another version of one of these breaks the WebUI or other extensions."""


def main(requirements: Path = REQUIREMENTS) -> None:
    """Install every missing requirement through the host's own pip, in one call.

    Raises:
        ValueError: the file names a package that the host ships.
    """
    lines = read_requirements(requirements)
    for line in lines:
        if package_name(line) in SHIPPED_BY_HOST:
            raise ValueError(f"requirements.txt: expected packages the WebUI does not ship, found {line!r}; remove it")
    missing = [line for line in lines if not is_installed(package_name(line))]
    if not missing:
        return

    import launch

    if launch.args.skip_install or "--skip-install" in sys.argv:
        return
    packages = " ".join(f'"{line}"' for line in missing)
    launch.run_pip(f"install {packages}", f"sd-webui-omg requirements: {', '.join(missing)}")


def read_requirements(path: Path) -> list[str]:
    """The requirements in `path`, without comments and empty lines."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf8").splitlines())
    return [line for line in lines if line]


def package_name(requirement: str) -> str:
    """The normalised name (PEP 503) in a requirement: `Open_CLIP-torch>=2` gives `open-clip-torch`.

    Raises:
        ValueError: `requirement` does not begin with a package name.
    """
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    if match is None:
        raise ValueError(f"requirements.txt: expected a package name, found {requirement!r}")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def is_installed(name: str) -> bool:
    """Whether any version of the package is installed; the version is the host's affair."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
