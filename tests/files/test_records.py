import json

import numpy as np
import pytest

from deepcams.core.errors import OutputError
from deepcams.files.records import (
    Record,
    Records,
    differences,
    file_digest,
    fingerprint,
)


def test_a_record_comes_back_as_it_was(tmp_path):
    records = Records(tmp_path / "r")
    record = Record(
        "day 2019-03-08",
        "abc",
        "def",
        ("2019-03-07",),
        {"hours": [1, 2, 3], "name": "Łódź"},
    )
    assert records.get(record.item) is None
    records.put(record)
    assert records.get(record.item) == record
    assert list(records) == [record]
    records.forget(record.item)
    assert list(records.names()) == []


def test_any_name_is_a_piece(tmp_path):
    records = Records(tmp_path)
    names = ["a/b", "../up", "x.json", "é", "%2F", "CON"]
    for name in names:
        records.put(Record(name))
    assert sorted(records.names()) == sorted(names)
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))


def test_a_damaged_record_is_one_line(tmp_path):
    records = Records(tmp_path)
    records.put(Record("a"))
    next(tmp_path.glob("a*")).write_text('{"item": "a"')
    with pytest.raises(OutputError, match="cannot be read; use --overwrite"):
        records.get("a")


def test_another_identity_is_refused_by_its_differences(tmp_path):
    records = Records(tmp_path / "r")
    assert not records.begin(
        {"rounding": 0.001, "hours": [1, 2]}, tmp_path, "use --overwrite"
    )
    assert records.begin(
        {"hours": [1, 2], "rounding": 0.001}, tmp_path, "use --overwrite"
    )
    with pytest.raises(
        OutputError, match=r"rounding was 0\.001, now 0; use --overwrite"
    ):
        records.begin({"rounding": 0, "hours": [1, 2]}, tmp_path, "use --overwrite")
    assert records.identity() == {"rounding": 0.001, "hours": [1, 2]}


def test_fingerprints_tell_type_shape_and_value():
    base = np.arange(6, dtype=np.float32)
    others = [base.astype(np.float64), base.reshape(2, 3), base + 1, "0", b"0", 0]
    assert (
        len({fingerprint(each) for each in [base, *others]}) == 6
    )  # "0" and 0 have one text
    assert fingerprint("a", "b") != fingerprint("ab")
    assert fingerprint(base[::2]) == fingerprint(base[::2].copy())
    assert fingerprint(np.array(["2019-01-01"], "datetime64[h]")) != fingerprint(
        np.array(["2019-01-02"], "datetime64[h]")
    )


def test_a_file_digest_tells_a_flipped_bit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\0" * 1000)
    before = file_digest(path, tmp_path / "b")
    assert before == file_digest(path, tmp_path / "b")
    path.write_bytes(b"\0" * 999 + b"\1")
    assert file_digest(path, tmp_path / "b") != before
    assert file_digest(tmp_path / "b") != file_digest()


def test_records_are_plain_json(tmp_path):
    Records(tmp_path).put(Record("a", facts={"n": 1}))
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["facts"] == {"n": 1}


def test_differences_name_what_changed():
    old = {
        "deepcams": "1",
        "chain": [{"name": "flow"}],
        "inputs": [{"name": "a.nc", "bytes": 1}],
        "gone": 1,
    }
    new = {
        "deepcams": "1",
        "chain": [{"name": "linear"}],
        "inputs": [{"name": "a.nc", "bytes": 2}],
    }
    assert differences(old, old) == []
    assert differences(old, {**old, "newer option": None, "another": []}) == []
    assert differences(old, new) == [
        "chain was flow, now linear",
        "inputs: a.nc: bytes was 1, now 2",
        "gone was 1, now absent",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            {"bbox": None},
            {"bbox": (0, 10, 20, 30)},
            ["bbox was null, now [0, 10, 20, 30]"],
        ),
        (
            {"by": ["year"]},
            {"by": ["year", "country"]},
            ["by was year, now year, country"],
        ),
        ({"conserve": True}, {"conserve": False}, ["conserve was true, now false"]),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": []}}, ['a.b was [{"c": 1}], now none']),
        (
            {"h": list(range(9))},
            {"h": [*range(8), 9, 10]},
            ["h.8 was 8, now 9", "h.9 was absent, now 10"],
        ),
        ({"options": {}, "steps": 1}, {"steps": 1.0}, []),
        (
            {"chain": [{"name": "a", "n": 2}]},
            {"chain": [{"name": "a"}]},
            ["chain: a: n was 2, now absent"],
        ),
        (
            {"inputs": [{"name": f"{day}.nc"} for day in range(8)]},
            {"inputs": [{"name": f"{day}.nc"} for day in range(4, 9)]},
            ["inputs was 8 with 0.nc, 1.nc, 2.nc, .., now 5 with 8.nc"],
        ),
    ],
)
def test_differences_are_told_as_in_a_file_of_settings(old, new, told):
    assert differences(old, new) == told
