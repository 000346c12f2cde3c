"""Each import contract of pyproject.toml can fail: one wrong import for each, and all of them are broken."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
PACKAGES = CONFIG["root_packages"]

# A new file of a package, and what it imports though it must not.
WRONG = {
    "layers of the project": ("infra/wrong_layer.py", "import load.errors"),
    "layers of app": ("app/core/wrong_layer.py", "import app.worker"),
    "layers of storage": ("storage/cache/wrong_layer.py", "import storage.stores"),
    "layers of web": ("web/http/wrong_layer.py", "import web.application"),
    "layers of cdc": ("cdc/events/wrong_layer.py", "import cdc.recovery"),
    "layers of load": ("load/generate/wrong_layer.py", "import load.bench"),
    "layers of infra": ("infra/services/wrong_layer.py", "import infra.stack"),
    "no package is one half of a cycle, at any depth": (
        "app/core/clock.py",
        "from app.core import wrong_cycle",
    ),
    "storage, web and agents need no Kafka": ("agents/wrong_kafka.py", "import app.kafka"),
    "asyncpg is imported by storage alone": ("cdc/wrong_asyncpg.py", "import asyncpg"),
    "redis and hiredis are imported by the client of storage.redis and the key space alone": (
        "storage/write/wrong_redis.py",
        "import hiredis",
    ),
    "aiokafka is imported by app.kafka alone": ("cdc/wrong_aiokafka.py", "import aiokafka"),
    "aiohttp is imported by web, as a server, and by the client of Kafka Connect alone": (
        "app/worker/wrong_aiohttp.py",
        "import aiohttp",
    ),
    "faust is imported by app.worker, and by the command that starts it, alone": (
        "storage/wrong_faust.py",
        "import faust",
    ),
}


def test_every_package_of_the_top_level_is_under_contract() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(PACKAGES) == packages
    layered = {each for c in CONFIG["contracts"] for each in c.get("containers", []) if c["exhaustive"]}
    assert layered | {"agents"} == packages  # agents has one module for each topic, and no layers


def test_each_contract_is_broken_by_a_wrong_import(tmp_path: Path) -> None:
    assert [contract["name"] for contract in CONFIG["contracts"]] == list(WRONG)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=_not_python)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "app/core/wrong_cycle.py").write_text("from app.core import clock\n")
    for name, statement in WRONG.values():
        with (tmp_path / name).open("a") as file:
            file.write(f"\n{statement}\n")
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.sub(r"\s+", " ", ran.stdout)
    assert [name for name in WRONG if f"{name} BROKEN" not in told] == []


def test_a_new_module_has_to_name_its_layer(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=_not_python)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "storage/unheard_of.py").touch()
    ran = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            *("--no-cache", "--contract", "storage"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode
    assert "unheard_of" in ran.stdout


def _not_python(directory: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name == "node_modules"
        or not (name.endswith(".py") or ((Path(directory) / name).is_dir() and name != "__pycache__"))
    ]
