"""Every code block of README and docs is run, in the order of the pages, in one folder; launch scripts are read.

The pages share the worked example of docs/recipes.md. What cannot run here (the two make commands,
which make environments, and the launchers of clusters) is listed in `NOT_RUN` with the file that it needs.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from camembert_bio import config
from camembert_bio.verbs.command import SECTIONS

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "docs/recipes.md",
    "docs/corpus.md",
    "docs/pretraining.md",
    "docs/evaluation.md",
    "docs/benchmarks.md",
)
PAGES += ("docs/clusters.md",)
SCRIPTS = {"local.sh": ["one"], "pretrain.sbatch": ["one"], "finetune_array.sbatch": []}
"""Launch scripts, and what is too little for each."""
LAUNCH = (*SCRIPTS, "hostfile.example")
NOT_RUN = {
    "make demo": "Makefile",
    "make test": "Makefile",
    "launch/local.sh 2 small.yaml run": "launch/local.sh",
    "deepspeed --hostfile launch/hostfile.example --module camembert_bio pretrain small.yaml output=run": (
        "launch/hostfile.example"
    ),
    "sbatch launch/pretrain.sbatch small.yaml run": "launch/pretrain.sbatch",
    "sbatch launch/finetune_array.sbatch small.yaml": "launch/finetune_array.sbatch",  # run by test_launch
    "camembert-bio finetune small.yaml output=results-side-by-side --workers 2": (
        "camembert_bio/evaluation/workers.py"  # run by test_workers
    ),
    "mpirun -n 9 camembert-bio prepare small.yaml": "camembert_bio/corpus/workers.py",  # run by test_scale
    "srun --mpi=pmix -n 9 camembert-bio prepare small.yaml": "camembert_bio/corpus/workers.py",
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """(page, number, language, code) of every block of the pages."""
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))):
            yield pytest.param(match[1], match[2], id=f"{page}:{number}-{match[1]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working directory of a reader who follows the pages, with `camembert-bio` on the path."""
    folder = tmp_path_factory.mktemp("docs")
    command = folder / "bin" / "camembert-bio"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m camembert_bio "$@"\n')
    command.chmod(0o755)
    return folder


def run(folder, *command):
    """Run to the end; the output is shown when it fails."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(("language", "code"), blocks())
def test_block_runs(folder, language, code):
    if language == "python":
        run(folder, sys.executable, "-c", code)
    elif language == "yaml":
        recipe = folder / "small.yaml"
        recipe.write_text(code, encoding="utf-8")
        for section in config.read_yaml(recipe):
            config.load_recipe(str(recipe), section, SECTIONS)
    elif language == "bash" and not is_launch_file(code):
        lines = code.splitlines()
        if NOT_RUN.keys() & set(lines):
            for line in lines:
                assert (ROOT / NOT_RUN[line]).is_file()
        else:
            run(folder, "bash", "-euc", code)
    else:
        assert language in ("text", "bash")


def is_launch_file(code):
    """Whether a block prints a launch script; those are read by the tests below."""
    return code in [(ROOT / "launch" / name).read_text(encoding="utf-8") for name in LAUNCH]


def test_what_is_not_run_stands_in_the_pages():
    lines = {line for page in PAGES for line in (ROOT / page).read_text(encoding="utf-8").splitlines()}
    assert NOT_RUN.keys() <= lines


def test_every_page_is_known():
    found = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert found | {"README.md"} == set(PAGES)


def test_readme_says_what_it_is_in_under_80_words():
    title, first, *_ = (ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")
    assert title == "# camembert_bio"
    assert 20 < len(first.split()) < 80


def test_readme_shows_how_the_demo_ends():
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- demo output -->")[1].split("```")[1]
    assert re.search(r"^\| synthetic-ner \| .*\d+\.\d+ ± \d+\.\d+", shown, re.MULTILINE)
    assert "tensorboard --logdir" in shown and "report:" in shown


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or ((ROOT / page).parent / target).is_file(), target


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", LAUNCH)
def test_the_page_prints_each_launch_file_verbatim(name):
    text = (ROOT / "launch" / name).read_text(encoding="utf-8")
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    assert f"\n{text}```\n" in page


@pytest.mark.parametrize(("name", "arguments"), SCRIPTS.items())
def test_launch_scripts_parse_and_refuse_too_few_arguments(name, arguments):
    script = ROOT / "launch" / name
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_the_hostfile_parses_as_deepspeed_reads_it():
    lines = (ROOT / "launch" / "hostfile.example").read_text(encoding="utf-8").splitlines()
    nodes = [line for line in lines if line and not line.startswith("#")]
    assert len(nodes) == 2
    assert all(re.fullmatch(r"\S+ slots=\d+", node) for node in nodes)
