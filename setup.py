"""Metadata of the package; tools are configured in pyproject.toml, tested versions in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "camembert_bio" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

# Corpora at https:// and s3://; `hf://` needs huggingface_hub alone, which transformers brings.
REMOTE = ["aiohttp>=3.9", "s3fs>=2024.2"]

# Hyperparameters: `camembert-bio search`.
SEARCH = ["optuna>=4.2"]

# What the peers of the benchmarks need: transformers' Trainer, and a loader to compare with.
BENCH = ["accelerate>=1.1", "webdataset>=1.0"]

setup(
    name="camembert-bio",
    version=VERSION,
    description="Continual pretraining of French biomedical encoders with DeepSpeed, and the harness that scores them",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["camembert_bio", "camembert_bio.*"]),
    # camembert_bio/ds_configs is a link to ds_configs/ at the top of the repository.
    package_data={"camembert_bio": ["recipes/*.yaml", "evaluation/official/*.json", "ds_configs/*.json", "py.typed"]},
    install_requires=[
        "deepspeed>=0.19",
        "torch>=2.11",
        "transformers>=5.17",
        "datasets>=5.0",
        "sentencepiece>=0.2.3",
        "tokenizers>=0.22",
        "protobuf",
        "mpi4py>=4.0",
        "tensorboard>=2.15",
        "lxml>=5.1",
        "numpy>=1.26",
        "pyarrow>=15",
        "pydantic>=2.5",
        "ftfy>=6.3",
        "py3langid>=0.4",
        "PyYAML>=6.0",
        "scipy>=1.11",
        "safetensors>=0.4",
        "tqdm>=4.60",
        "zstandard>=0.22",
        "rensa>=0.5,<0.6",
        "xxhash>=3.5",
        "fsspec>=2024.2",
    ],
    extras_require={
        "remote": REMOTE,
        "search": SEARCH,
        "dev": [
            *REMOTE,
            *SEARCH,
            *BENCH,
            "moto[s3]>=5",  # with Flask: an S3 on the loopback interface
            "flask>=3",
            "flask-cors>=5",
            "pytest>=8",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "seqeval>=1.2",
            "nervaluate>=1.2.1",
            "ruff",
            "mypy",
            "import-linter",
            'openmpi>=5; sys_platform == "linux"',
            "types-PyYAML",
            "types-tqdm",
        ],
        "docs": [],
        "bench": BENCH,
    },
    entry_points={"console_scripts": ["camembert-bio = camembert_bio.cli:main"]},
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3",
        "Natural Language :: French",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
