"""The stack in containers carries the same dynamic configuration as the embedded one."""

import re
from pathlib import Path

from workers.embedded.servers import DYNAMIC_CONFIG

FILE = Path(__file__).parents[2] / "temporal-dev" / "dynamicconfig" / "countersign.yaml"


def test_the_two_stacks_are_configured_alike() -> None:
    found = dict(re.findall(r"^([\w.]+):\n  - value: (\S+)$", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert found == DYNAMIC_CONFIG
