"""schemas.py: strict JSON schemas for kubeconform, one file a kind: of our kinds from crds/, and of every other kind from what an
API server says about itself (/openapi/v2), so that nothing has to be fetched."""
import json

# How kubeconform finds the file of a kind.
TEMPLATE = "{{.ResourceKind}}{{.KindSuffix}}.json"
NUMBER_OR_TEXT = {"type": ["string", "integer", "number"]}


def strict(schema):
    """As JSON schema, in which a field that is not known is a mistake."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return dict(NUMBER_OR_TEXT)
    result = {}
    for key, value in schema.items():
        if key in ("properties", "definitions"):  # names of fields, whatever they are
            result[key] = {name: strict(inner) for name, inner in value.items()}
        elif not key.startswith("x-") and key not in ("format", "description", "example"):
            result[key] = value if key in ("enum", "default", "required") else strict(value)
    if "properties" in schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


def write(folder, kind, group, version, schema):
    suffix = "-".join([*([group.split(".")[0]] if group else []), version])
    name = f"{kind.lower()}-{suffix}.json"
    with open(f"{folder}/{name}", "w") as file:
        json.dump(schema, file)


def of_kind(crd, folder):
    """The schemas of one CustomResourceDefinition."""
    for version in crd["spec"]["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        properties = schema.setdefault("properties", {})
        properties.update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}})
        write(folder, crd["spec"]["names"]["kind"], crd["spec"]["group"], version["name"], schema)


def of_server(swagger, wanted, folder):
    """The schemas of the kinds that are wanted, (group, version, kind), of what an API server says at /openapi/v2."""
    definitions = {name: strict(schema) for name, schema in swagger["definitions"].items()}
    for name, schema in swagger["definitions"].items():
        # What is written as one value has no fields: a number of bytes may be written without quotes.
        if name.endswith("resource.Quantity"):
            definitions[name] = dict(NUMBER_OR_TEXT)
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            if (kind["group"], kind["version"], kind["kind"]) in wanted:
                write(folder, kind["kind"], kind["group"], kind["version"], {"$ref": f"#/definitions/{name}", "definitions": definitions})
