//! Floor 0: how a reference to a parameter or to the incident is written. Nothing else than the whole value is one.

/// The NAME of a value that is exactly `$(params.NAME)`.
pub(super) fn parameter_name(text: &str) -> Option<&str> {
    text.strip_prefix("$(params.")?
        .strip_suffix(')')
        .filter(|name| is_name(name))
}

/// Whether a value is exactly `$(incident.labels.NAME)` or `$(incident.annotations.NAME)`.
pub(super) fn is_incident_reference(text: &str) -> bool {
    let inside = text
        .strip_prefix("$(incident.")
        .and_then(|rest| rest.strip_suffix(')'));
    let name = inside.and_then(|rest| {
        rest.strip_prefix("labels.")
            .or_else(|| rest.strip_prefix("annotations."))
    });
    name.is_some_and(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
    })
}

/// A letter or `_`, then letters, digits or `_`.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
