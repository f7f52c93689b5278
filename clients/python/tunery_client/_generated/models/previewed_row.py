from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.previewed_row_outcome import (
    PreviewedRowOutcome,
    check_previewed_row_outcome,
)

if TYPE_CHECKING:
    from ..models.preview_problem import PreviewProblem
    from ..models.previewed_sequence import PreviewedSequence


T = TypeVar("T", bound="PreviewedRow")


@_attrs_define
class PreviewedRow:
    """
    Attributes:
        line (int): Line number, counted from 1.
        outcome (PreviewedRowOutcome): Whether training uses the whole row, only a part of it, or nothing (the last two
            depending on
            `training.on_overlength`), or refuses the file because of it.
        problem (None | PreviewProblem): Why training refuses the file. Null unless `outcome` is `error`.
        full_length (int | None): Tokens of the row's longest sequence before truncation. Null if the row cannot be
            rendered.
        truncated_at (int | None): Number of tokens after which a sequence is truncated; the rest is not shown. Null if
            the row fits.
        sequences (list[PreviewedSequence]):
    """

    line: int
    outcome: PreviewedRowOutcome
    problem: None | PreviewProblem
    full_length: int | None
    truncated_at: int | None
    sequences: list[PreviewedSequence]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.preview_problem import PreviewProblem  # noqa: PLC0415

        line = self.line

        outcome: str = self.outcome

        problem: dict[str, Any] | None
        if isinstance(self.problem, PreviewProblem):
            problem = self.problem.to_dict()
        else:
            problem = self.problem

        full_length: int | None
        full_length = self.full_length

        truncated_at: int | None
        truncated_at = self.truncated_at

        sequences = []
        for sequences_item_data in self.sequences:
            sequences_item = sequences_item_data.to_dict()
            sequences.append(sequences_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "line": line,
                "outcome": outcome,
                "problem": problem,
                "full_length": full_length,
                "truncated_at": truncated_at,
                "sequences": sequences,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.preview_problem import PreviewProblem  # noqa: PLC0415
        from ..models.previewed_sequence import PreviewedSequence  # noqa: PLC0415

        d = dict(src_dict)
        line = d.pop("line")

        outcome = check_previewed_row_outcome(d.pop("outcome"))

        def _parse_problem(data: object) -> None | PreviewProblem:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                problem_type_0 = PreviewProblem.from_dict(data)

                return problem_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PreviewProblem, data)

        problem = _parse_problem(d.pop("problem"))

        def _parse_full_length(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        full_length = _parse_full_length(d.pop("full_length"))

        def _parse_truncated_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        truncated_at = _parse_truncated_at(d.pop("truncated_at"))

        sequences = []
        _sequences = d.pop("sequences")
        for sequences_item_data in _sequences:
            sequences_item = PreviewedSequence.from_dict(sequences_item_data)

            sequences.append(sequences_item)

        previewed_row = cls(
            line=line,
            outcome=outcome,
            problem=problem,
            full_length=full_length,
            truncated_at=truncated_at,
            sequences=sequences,
        )

        previewed_row.additional_properties = d
        return previewed_row

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
