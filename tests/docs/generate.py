"""The parts of the documentation that come from the code:

python -m tests.docs.generate
python -m tests.docs.generate --check

A page marks such a part with `<!-- generated: NAME -->` and `<!-- end -->`; what is between them is replaced.
"""

import re
import sys

from cluster.serving.measured import SERVING
from service.metrics import declared
from tests.docs import api, families, plans, states, tables
from tests.documents import ROOT

PARTS = {
    "api": api.reference,
    "states": states.states,
    "service settings": tables.service_settings,
    "engine settings": tables.engine_settings,
    "other settings": tables.other_settings,
    "renamed settings": tables.renamed_settings,
    "hyperparameters": tables.hyperparameters,
    "auto": tables.auto_values,
    "training options": tables.training_options,
    "peft methods": tables.peft_methods,
    "peft fields": tables.peft_fields,
    "catalogue fields": tables.catalogue_fields,
    "packaged catalogue": tables.packaged_catalogue,
    "data errors": tables.data_errors,
    "data warnings": tables.data_warnings,
    "statuses": tables.statuses,
    "commands": tables.commands,
    "api metrics": lambda: tables.metrics(declared.API),
    "installation metrics": lambda: tables.metrics(declared.INSTALLATION),
    "serving metrics": lambda: tables.metrics(SERVING),
    "scheduler metrics": lambda: tables.metrics(declared.SCHEDULER),
    "plans": plans.plans,
    "refused plans": plans.refusals,
    "planned families": plans.families,
    "families": families.support,
    "serving plans": plans.serving,
    "plan of a gpu box": plans.gpu_box,
}
_MARKED = re.compile(r"(<!-- generated: ([\w ]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def generated(page: str) -> str:
    """The page with every marked part as the code says now. Raises KeyError for an unknown name."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]().strip()}\n\n{found[4]}", page)


def main() -> int:
    is_check = "--check" in sys.argv[1:]
    stale = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text()
        if (new := generated(text)) != text:
            stale.append(path)
            if not is_check:
                path.write_text(new)
    if is_check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.stderr.write(f"{names} differ from the code: run python -m tests.docs.generate\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
