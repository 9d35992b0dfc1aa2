"""The price lists: downloaded with their packages by version and hash, and taken out of them as JSON."""

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

LOCK: Final = Path(__file__).parents[2] / "requirements" / "price-lists.lock"
_LITELLM: Final = "litellm/model_prices_and_context_window_backup.json"
_GENAI_PRICES: Final = "genai_prices/data.py"
_GENAI_UNITS: Final = "genai_prices/data_units.py"


class PriceLists(Struct, frozen=True):
    """The lists as JSON, and the units of genai-prices' keys."""

    litellm: str
    genai_prices: str
    genai_units: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]


def download(folder: Path) -> PriceLists:
    """Download the packages into a folder, and take the lists out of them."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)),
            *("--dest", str(folder)),
        ],
        check=True,
    )
    wheels = {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}
    return PriceLists(
        litellm=_member(wheels["litellm"], _LITELLM),
        genai_prices=genai_json(_member(wheels["genai_prices"], _GENAI_PRICES)),
        genai_units=_assigned(_member(wheels["genai_prices"], _GENAI_UNITS), "unit_data"),
        versions={name: wheel.name.split("-")[1] for name, wheel in wheels.items()},
    )


def _member(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name).decode()


def _assigned(source: str, name: str) -> Any:
    """Read what a module assigns to a name, without running it: literals, and calls that make data."""
    for statement in ast.parse(source).body:
        match statement:
            case ast.AnnAssign(ast.Name(target), value=ast.expr() as value) if target == name:
                return _value(value)
    raise ValueError(f"the module assigns nothing to {name}")


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.List(items) | ast.Tuple(items):
            return [_value(item) for item in items]
        case ast.Dict(keys, values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.Attribute(_, "utc" | "UTC"):
            return UTC
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand)
        case ast.Call(function, arguments, keywords):
            named = {keyword.arg or "": _value(keyword.value) for keyword in keywords}
            return _call(ast.unparse(function), [_value(argument) for argument in arguments], named)
        case _:
            raise ValueError(f"{ast.unparse(node)[:80]} is no literal")


def _call(name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    match name:
        case "Decimal":
            return Decimal(*arguments)
        case "datetime.date":
            return date(*arguments).isoformat()
        case "datetime.time":
            return time(*arguments, **named).isoformat()
        case "datetime.timedelta":
            return timedelta(**named)
        case "datetime.timezone":
            return timezone(*arguments)
        case _ if name.endswith("Constraint") or name[0].isupper():
            return named
        case _:
            raise ValueError(f"a call of {name} is no data")


def genai_json(source: str) -> str:
    """Write the package's data as the file that its makers publish: numbers as they stand in the source."""
    providers = [
        {
            "id": provider["id"],
            "models": [
                {name: model[name] for name in ("id", "prices", "price_variants") if model.get(name) is not None}
                for model in provider["models"]
            ],
        }
        for provider in _assigned(source, "providers")
    ]
    return _json(providers)


def _json(value: Any) -> str:
    match value:
        case Decimal():
            return str(value)
        case Mapping():
            members = (f"{json.dumps(name)}: {_json(member)}" for name, member in value.items() if member is not None)
            return f"{{{', '.join(members)}}}"
        case list():
            return f"[{', '.join(map(_json, value))}]"
        case _:
            return json.dumps(value)
