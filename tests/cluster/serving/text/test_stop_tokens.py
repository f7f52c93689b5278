"""A served model stops where its chat template ends turns, on every engine."""

import json
from pathlib import Path

from tests.chat_templates import CHATML
from tests.cluster.serving.conftest import Serve
from tests.tiny_base import make_tiny_base


def test_the_end_of_a_turn_stops_an_answer_though_it_is_not_the_end_of_text(
    serve: Serve, tmp_path: Path
) -> None:
    template = CHATML.replace("<|im_end|>", "<|tool|>").replace("<|im_start|>", "<|user|>")
    base = make_tiny_base(tmp_path / "base", chat_template=template)
    generation = json.loads((tmp_path / "base/generation_config.json").read_text())
    end_of_turn = 5
    assert generation["eos_token_id"] == 1
    served = serve(base=base)
    answer = served.ask(served.request(logit_bias={end_of_turn: 100.0}, max_tokens=9))
    assert (answer.text, answer.finishes[0].reason) == ("", "stop")
