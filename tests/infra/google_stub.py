"""A provider for Terraform that knows the schemas of hashicorp/google, and can do nothing else.

For machines that cannot reach Terraform's registry: with it `terraform init`, `validate` and `test`
with mocks check our modules against the real schemas. Those come from the wheel
`cdktn-provider-google`, whose bindings are generated from the provider; nothing of it is committed.

Run by a Python that has the distribution `tf` (the plugin protocol)::

    google_stub.py extract WHEEL SCHEMAS.json NAME…      (the standard library is enough)
    google_stub.py serve SCHEMAS.json                    (what Terraform starts)
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

Block = dict[str, Any]

_ENTRY = re.compile(
    r"^ +(?P<name>\w+): \{\n"
    r" +value: (?P<value>.*),\n"
    r" +isBlock: (?P<block>true|false),\n"
    r' +type: "(?P<type>\w+)",\n'
    r' +storageClassType: "(?P<kind>\w+)",\n',
    re.MULTILINE,
)
_FLAGS = re.compile(
    r"// (?P<name>\w+) - computed: (?P<computed>\w+), optional: (?P<optional>\w+), "
    r"required: (?P<required>\w+)\n(?=(?P<code>(?:.*\n){3}))"
)
_NESTED = re.compile(r"(\w+)ToHclTerraform\b")
_GETTERS = {
    "getStringAttribute": '"string"',
    "getNumberAttribute": '"number"',
    "getBooleanAttribute": '"bool"',
    "getListAttribute": '["list","string"]',
    "getStringMapAttribute": '["map","string"]',
}
_SCALARS = {"string": '"string"', "number": '"number"', "boolean": '"bool"'}
_NESTINGS = {"list": "LIST", "set": "SET", "struct": "SINGLE"}


# -- from the wheel --------------------------------------------------------------------------------


def extract(wheel: Path, names: list[str]) -> dict[str, Block]:
    """The schemas of resources and `data.…` sources, and that of the provider as `provider`."""
    with zipfile.ZipFile(wheel) as archive:
        (bundle,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        packed = archive.read(bundle)
    wanted = {f"package/lib/{_folder(name)}/index.js": name for name in [*names, "provider"]}
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        found = {
            wanted[member.name]: _schema(files.extractfile(member).read().decode())  # type: ignore[union-attr]
            for member in files
            if member.name in wanted
        }
    if missing := set(wanted.values()) - set(found):
        message = f"{wheel.name} does not know {sorted(missing)}"
        raise SystemExit(message)
    return found


def _folder(name: str) -> str:
    if name == "provider":
        return "provider"
    kind, _, rest = name.rpartition("data.")
    folder = rest.removeprefix("google_").replace("_", "-")
    return f"data-google-{folder}" if kind or name.startswith("data.") else folder


def _schema(source: str) -> Block:
    pieces = re.split(r"^(?=(?:export )?(?:class|function) )", source, flags=re.MULTILINE)
    classes = {
        match[1]: piece
        for piece in pieces
        if (match := re.match(r"(?:export )?class (\w+)", piece))
    }
    functions = {
        match[1]: piece
        for piece in pieces
        if (match := re.match(r"(?:export )?function (\w+)ToHclTerraform", piece))
    }
    (main,) = (
        piece
        for piece in classes.values()
        if re.search(r"extends cdktn\.Terraform(Resource|DataSource|Provider) ", piece)
    )
    entries = main[main.index("synthesizeHclAttributes") :]
    return _block(main, entries, functions, classes)


def _block(code: str, entries: str, functions: dict[str, str], classes: dict[str, str]) -> Block:
    flags = {match["name"]: match for match in _FLAGS.finditer(code)}
    attributes, blocks = {}, {}
    for entry in _ENTRY.finditer(entries):
        name = entry["name"]
        if entry["block"] == "true":
            nested = _NESTED.search(entry["value"])
            assert nested is not None, name
            reference = nested[1][0].upper() + nested[1][1:] + "OutputReference"
            function = functions[nested[1]]
            blocks[name] = {
                "nesting": _NESTINGS[entry["type"]],
                "most": 0 if "listMapper" in entry["value"] or entry["type"] == "struct" else 1,
                "least": int(name in flags and flags[name]["required"] == "true"),
                **_block(classes.get(reference, ""), function, functions, classes),
            }
            continue
        found = {
            key: flags[name][key] == "true" if name in flags else key == "optional"
            for key in ("computed", "optional", "required")
        }
        # Terraform itself computes identities, whatever the bindings say.
        found["computed"] |= name == "id"
        attributes[name] = {"type": _type(entry["type"], entry["kind"]), **found}
    for name, match in flags.items():
        if (
            name not in attributes
            and name not in blocks
            and match["optional"] == match["required"] == "false"
        ):
            getter = re.search(r"this\.(get\w+Attribute)", match["code"])
            known = _GETTERS.get(getter[1]) if getter else None
            attributes[name] = {
                "type": known or '"dynamic"',
                "computed": True,
                "optional": False,
                "required": False,
            }
    return {"attributes": attributes, "blocks": blocks}


def _type(shape: str, kind: str) -> str:
    if shape == "simple":
        return _SCALARS[kind]
    inner = _SCALARS.get(re.sub(r"(List|Map)$", "", kind), '"dynamic"')
    return f'["{shape}",{inner}]'


# -- for Terraform ---------------------------------------------------------------------------------


def serve(schemas: dict[str, Block]) -> None:
    """Answer Terraform until it says that it is enough."""
    import tf.provider
    import tf.runner
    from tf.gen import tfplugin_pb2 as pb
    from tf.gen import tfplugin_pb2_grpc as rpc

    def block(found: Block) -> Any:
        return pb.Schema.Block(
            attributes=[
                pb.Schema.Attribute(
                    name=name,
                    type=known["type"].encode(),
                    required=known["required"],
                    optional=known["optional"],
                    computed=known["computed"],
                )
                for name, known in found["attributes"].items()
            ],
            block_types=[
                pb.Schema.NestedBlock(
                    type_name=name,
                    block=block(known),
                    nesting=getattr(pb.Schema.NestedBlock, known["nesting"]),
                    min_items=known["least"] if known["nesting"] != "SINGLE" else 0,
                    max_items=known["most"],
                )
                for name, known in found["blocks"].items()
            ],
        )

    ready = {name: pb.Schema(block=block(found)) for name, found in schemas.items()}

    class Servicer(rpc.ProviderServicer):  # type: ignore[misc]
        def __init__(self, _: object) -> None:
            pass

        def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802 - of the protocol
            return pb.GetProviderSchema.Response(
                provider=ready["provider"],
                resource_schemas={
                    name: schema
                    for name, schema in ready.items()
                    if name != "provider" and not name.startswith("data.")
                },
                data_source_schemas={
                    name.removeprefix("data."): schema
                    for name, schema in ready.items()
                    if name.startswith("data.")
                },
            )

        def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.ValidateProviderConfig.Response()

        def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.ValidateResourceConfig.Response()

        def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.ValidateDataResourceConfig.Response()

        def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.StopProvider.Response()

    tf.provider.ProviderServicer = Servicer
    tf.runner.run_provider(None, ["provider"])


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "extract":
        source, target, *wanted = rest
        Path(target).write_text(json.dumps(extract(Path(source), wanted)), encoding="utf-8")
    else:
        serve(json.loads(Path(rest[0]).read_text("utf-8")))
