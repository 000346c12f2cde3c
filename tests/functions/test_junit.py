"""The tests of the functions themselves, which are Java's (flink/functions/src/test)."""

import os
import re
import subprocess
from pathlib import Path

from infra.install.functions import TEST_CLASSES, TEST_JARS


def test_the_functions_keep_to_their_tests(jar: Path) -> None:
    classes = jar.with_name(TEST_CLASSES)
    path = os.pathsep.join(map(str, (classes, jar, *jar.with_name(TEST_JARS).glob("*.jar"))))
    argv = ["java", "-cp", path, "org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner"]
    done = subprocess.run(
        [*argv, f"--scan-class-path={classes}", "--details=summary"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    (successful,) = re.findall(r"(\d+) tests successful", done.stdout)
    assert int(successful) > 100
