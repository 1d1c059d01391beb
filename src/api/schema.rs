//! Floor 1: schema fragments shared by the kinds, where a derive cannot say what the API server must enforce.
//! Every string, list and map here has a limit: an unbounded one makes CEL rules too costly to install.
//! No field lives here, and nothing that reads an object.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A user name as the API server gives it: printable ASCII, no blank at either end.
pub const USER_NAME: &str = "^[!-~]([ -~]*[!-~])?$";
/// A SHA-256 digest, the only form in which one is ever written.
pub const DIGEST: &str = "^sha256:[0-9a-f]{64}$";
/// A DNS label.
pub const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A duration for people: `90s`, `1h30m`. A string, because floats and units differ between languages.
pub const DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// A duration, or the whole value taken from a parameter.
pub const DURATION_OR_PARAMETER: &str =
    r"^(([0-9]{1,5}(h|m|s|ms)){1,4}|\$\(params\.[A-Za-z_][A-Za-z0-9_]{0,62}\))$";
/// 32 bytes in base64.
pub const MERKLE_ROOT: &str = "^[A-Za-z0-9+/]{43}=$";

/// A map of strings with at most `ITEMS` entries of at most `LENGTH` characters.
pub fn string_map<const ITEMS: u32, const LENGTH: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": ITEMS,
        "additionalProperties": { "type": "string", "maxLength": LENGTH },
    })
}

/// An object whose inside the API server must leave alone: no pruning, no defaulting, no embedded resource.
pub fn preserved_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Any JSON value that the API server must leave alone.
pub fn preserved_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// A whole number, or the whole value taken from a parameter.
pub fn int_or_parameter(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 0,
        "maximum": 2_147_483_647,
        "maxLength": 73,
        "pattern": r"^\$\(params\.[A-Za-z_][A-Za-z0-9_]{0,62}\)$",
    })
}

/// `metav1.Condition` as a list map by type, with the limits that the generated schema lacks.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "maxLength": 63, "description": "What the condition is about." },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown." },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0, "description": "The generation of the spec that this condition speaks about." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "maxLength": 40, "description": "When the status changed last." },
                "reason": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[A-Za-z]([A-Za-z0-9]*)$", "description": "A word of the closed list of reasons." },
                "message": { "type": "string", "maxLength": 4096, "description": "What is so, why, and what to do." },
            },
        },
    })
}
