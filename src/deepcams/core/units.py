"""Parsing of concentration units, which are never guessed."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from deepcams.core.errors import InputError

if TYPE_CHECKING:
    pass


UNITS = "ug m-3"

_MASSES = {"kg": 1e9, "g": 1e6, "mg": 1e3, "ug": 1.0, "mcg": 1.0, "ng": 1e-3}
_WORDS = {
    "kilogram": "kg",
    "milligram": "mg",
    "microgram": "ug",
    "nanogram": "ng",
    "gram": "g",
}
_SIGNS = str.maketrans(
    "\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}"
    "\N{MINUS SIGN}\N{SUPERSCRIPT MINUS}"
    "\N{MIDDLE DOT}\N{DOT OPERATOR}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079",
    "uu--    0123456789",
)
_CONCENTRATION = re.compile(
    r"(?:(?P<number>\d+\.?\d*(?:e[+-]?\d+)?)(?:(?:\*\*|\^)(?P<power>[+-]?\d+))?[\s*.]*)?"
    r"(?P<mass>kg|mg|ug|mcg|ng|g)"
    r"(?:[\s./*]*m(?:\*\*|\^)?\(?\{?-3\}?\)?|\s*(?:/|\bper\b)\s*\(?(?:m(?:\*\*|\^)?3|cubic m)\)?)"
)


def units_factor(units: object, where: object) -> float:
    """Return the factor that converts a mass concentration in ``units`` to ug m-3.

    Understands ``kg m**-3``, ``kg/m3``, ``kg m^-3``, ``1e-9 kg m-3``, ``micrograms per cubic meter``, both micro signs,
    superscript digits, and g, mg, ng. Missing units and ``1`` are refused like any other wrong unit.

    Raises:
        InputError: the units are not those of a mass concentration.
    """
    text = str(units).strip().translate(_SIGNS)
    text = text.lower() if text.isupper() else text  # only then: Mg is not mg
    grams = r"\b((?:kilo|milli|micro|nano)?gram)(?:me)?s?\b"
    text = re.sub(grams, lambda found: _WORDS[found[1].lower()], text, flags=re.I)
    text = re.sub(r"\bmet(?:er|re)s?\b", "m", text, flags=re.I).replace("E", "e")
    found = _CONCENTRATION.fullmatch(text)
    factor = 0.0
    if found is not None:
        with contextlib.suppress(ArithmeticError):  # 0**-1, 10**999
            number = float(found["number"] or 1) ** int(found["power"] or 1)
            factor = number * _MASSES[found["mass"]]
    if not 0 < factor < float("inf"):
        found_units = repr(str(units))
        do = "choose another variable with --variable, or correct the attribute units"
        if units is None or not str(units).strip():
            found_units = "no units"
            do = (
                "write them into the file's attribute units, for they are never guessed"
            )
        raise InputError(
            f"{where}: units",
            "a mass concentration (kg m-3 or ug m-3)",
            found_units,
            do,
        )
    return factor
