"""Tables hold numbers, and formats are applied when they are shown."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from leptonfit.workbook import tables

FITS = [
    SimpleNamespace(
        name="a & b",
        limits=SimpleNamespace(theta=np.array(1.25), sigma=0.5),
        n=np.int64(3),
        ends=np.array([[0.0, 1.5]]),
    ),
    SimpleNamespace(
        name="c",
        limits=SimpleNamespace(theta=np.nan, sigma=np.nan),
        n=4,
        ends=np.array([[-np.inf, 2.0], [3.0, np.inf]]),
    ),
]
COLUMNS = {
    "fit": "name",
    "θ (μ_B)": ("limits.theta, limits.sigma", "{:.2f} ± {:.1f}", "none"),
    "share": (lambda one: one.n / 8, tables.percent(".1f")),
    "converged": (lambda one: (one.n, 4), "{} of {}"),
    "set": ("ends", tables.write_set, None),
    "fits": lambda one: one.n == 4,
    "judged": (lambda one: one.n, lambda fits, n: f"{n}" if fits else "no", "", (), ("fits",)),
}


def test_a_table_holds_numbers_and_is_shown_as_text():
    table = tables.from_records(FITS, COLUMNS)
    assert table["θ (μ_B)"].dtype == float
    assert table["θ (μ_B)"].tolist()[0] == 1.25
    assert table["θ (μ_B) error"].dtype == float
    assert table["share"].sum() == 0.875
    assert table[["converged", "converged of"]].to_numpy().tolist() == [[3, 4], [4, 4]]
    assert table["fits"].dtype == bool
    shown = tables.format_table(table)
    assert shown["θ (μ_B)"].tolist() == ["1.25 ± 0.5", "none"]
    assert shown["share"].tolist() == ["37.5 %", "50.0 %"]
    assert shown["converged"].tolist() == ["3 of 4", "4 of 4"]
    assert shown["fits"].tolist() == ["no", "yes"]
    assert shown["judged"].tolist() == ["no", "4"]
    assert list(shown) == list(COLUMNS)
    assert "<td>a &amp; b</td>" in tables.show(table).data


def test_formats_stay_with_a_part_of_a_table_and_leave_others_alone():
    table = tables.from_records(FITS, COLUMNS)
    assert tables.format_table(table[["fit", "share"]][:1]).to_dict("list") == {"fit": ["a & b"], "share": ["37.5 %"]}
    assert tables.format_table(table.assign(more=[1 / 3, 2.0]))["more"].tolist() == ["0.333333", "2"]


def test_an_interval_has_a_column_for_each_end_and_is_shown_in_one():
    table = tables.from_records(FITS, COLUMNS)
    ends = table[["set low", "set high", "set low 2", "set high 2"]].to_numpy()
    np.testing.assert_array_equal(ends, [[0, 1.5, np.nan, np.nan], [-np.inf, 2, 3, np.inf]])
    assert tables.format_table(table)["set"].tolist() == [
        "0.0000000 to 1.5000000",
        "open to 2.0000000; 3.0000000 to open",
    ]
    empty = tables.from_records([np.empty((0, 2))], {"set": (lambda ends: ends, tables.write_set, None)})
    assert list(empty) == ["set low", "set high"]
    assert tables.format_table(empty)["set"].tolist() == ["none"]


def test_records_are_shown_as_columns():
    table = tables.from_records({"x": 1.0, "y": 2.5}, {"of": lambda name, value: name, "v": "real"}, across=True)
    assert table["v"].tolist() == [1.0, 2.5]
    shown = tables.format_table(table)
    assert shown.to_dict("list") == {"of": ["v"], "x": ["1"], "y": ["2.5"]}


def test_members_of_a_tuple_are_arguments():
    table = tables.from_records([(1, "a"), (2, "b")], {"n": lambda n, name: 10 * n, "name": lambda n, name: name})
    assert table.to_dict("list") == {"n": [10, 20], "name": ["a", "b"]}


def test_any_frame_is_shown_and_no_record_gives_no_column():
    frame = pd.DataFrame({"x": [1 / 3, np.nan], "b": [True, False], "s": ["<", ""]})
    assert tables.format_table(frame).to_numpy().tolist() == [["0.333333", "yes", "<"], ["", "no", ""]]
    empty = tables.from_records([], COLUMNS, across=True)
    assert not len(empty.columns)
    assert tables.format_table(empty).empty
    assert tables.format_table(pd.DataFrame()).empty


def test_a_row_may_have_one_number_where_others_have_two():
    table = tables.from_records([(1.0, (2.0, 3.0)), (2.0, 5.0)], {"x": 0, "y": (1, "{:g} to {:g}", None)})
    assert table["y low"].tolist() == [2.0, 5.0]
    assert np.isnan(table["y high"].iloc[1])


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        tables.from_records(FITS, {"x": "missing"})
