//! Floor 0: how a reference to a parameter or to the incident is written. Nothing else than the whole value is one.

/// Which part of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain) enum Section {
    Labels,
    Annotations,
}

/// The NAME of a value that is exactly `$(params.NAME)`.
pub(in crate::domain) fn parameter_name(text: &str) -> Option<&str> {
    text.strip_prefix("$(params.")?
        .strip_suffix(')')
        .filter(|name| is_name(name))
}

/// Whether a value is exactly `$(incident.labels.NAME)` or `$(incident.annotations.NAME)`.
pub(in crate::domain) fn is_incident_reference(text: &str) -> bool {
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

/// What `$(incident.labels.NAME)` or `$(incident.annotations.NAME)` refers to.
pub(in crate::domain) fn incident_reference(text: &str) -> Option<(Section, &str)> {
    if !is_incident_reference(text) {
        return None;
    }
    let inside = text.strip_prefix("$(incident.")?.strip_suffix(')')?;
    let label = inside.strip_prefix("labels.");
    label.map(|name| (Section::Labels, name)).or_else(|| {
        let name = inside.strip_prefix("annotations.")?;
        Some((Section::Annotations, name))
    })
}

/// A letter or `_`, then letters, digits or `_`.
pub(in crate::domain) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
