//! Floor 2: who we are to a registry: the file that `docker login`, `crane auth login` and pull secrets share. Passwords
//! leave this file in the header of a request alone; nothing prints them.

use std::{collections::BTreeMap, fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::domain::trust::ImageName;

/// How large the file may be.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A text that nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub user: String,
    pub password: Secret,
}

/// The file cannot be used. Never quotes what is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No JSON of this form.
    #[error("{path} is no docker config: line {line}, column {column}")]
    Form {
        /// The file.
        path: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// An entry that holds no password.
    #[error("the entry {entry:?} of {path} holds {what}")]
    Entry {
        /// The file.
        path: String,
        /// Which entry.
        entry: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One entry of the file.
#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

/// Logins by registry, or by registry and the beginning of a repository.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, Login>);

impl Credentials {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let shown = path.display().to_string();
        let failed = |source| CredentialsError::Read {
            path: shown.clone(),
            source,
        };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > LARGEST_FILE {
            return Err(failed(std::io::Error::other("it is larger than 1 MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text, &shown)
    }

    fn parse(text: &str, path: &str) -> Result<Self, CredentialsError> {
        // The error's own text may quote a value.
        let file: File = serde_json::from_str(text).map_err(|error| CredentialsError::Form {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        let mut logins = BTreeMap::new();
        for (entry, value) in file.auths {
            let wrong = |what| CredentialsError::Entry {
                path: path.to_owned(),
                entry: entry.clone(),
                what,
            };
            let login = match (&value.auth, value.username, value.password) {
                (Some(auth), _, _) if !auth.is_empty() => {
                    decode(auth).ok_or_else(|| wrong("no base64 of USER:PASSWORD"))?
                }
                (_, Some(user), Some(password)) => Login {
                    user,
                    password: Secret::new(password),
                },
                // Left behind by a credential helper, or an identity token: we call no programs and know no such tokens.
                // Other registries of the same file must work; this one says so when it denies.
                _ => continue,
            };
            logins.insert(normal(&entry).to_owned(), login);
        }
        Ok(Self(logins))
    }

    /// The login for this repository: that of the longest entry that is about it.
    pub(super) fn about(&self, name: &ImageName) -> Option<&Login> {
        let full = name.to_string();
        let about = |entry: &str| {
            full.strip_prefix(entry)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let entries = self.0.iter().filter(|(entry, _)| about(entry));
        entries
            .max_by_key(|(entry, _)| entry.len())
            .map(|(_, login)| login)
    }
}

/// An entry without what old programs wrote around the name of a registry.
fn normal(entry: &str) -> &str {
    let entry = ["https://", "http://"]
        .iter()
        .find_map(|scheme| entry.strip_prefix(scheme))
        .unwrap_or(entry);
    let entry = entry.trim_end_matches('/');
    ["/v1", "/v2"]
        .iter()
        .find_map(|version| entry.strip_suffix(version))
        .unwrap_or(entry)
}

fn decode(auth: &str) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Login {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    fn file(auths: serde_json::Value) -> Result<Credentials, CredentialsError> {
        Credentials::parse(&json!({ "auths": auths }).to_string(), "config.json")
    }

    #[test]
    fn the_longest_entry_about_the_repository_is_taken() {
        let auth = STANDARD.encode("robot:of:a");
        let credentials = file(json!({
            "https://registry.example/v1/": {"auth": auth},
            "registry.example/team": {"username": "t", "password": "p"},
            "other.example": {},
        }))
        .unwrap();
        let user = |text: &str| credentials.about(&name(text)).map(|one| one.user.as_str());
        assert_eq!(user("registry.example/a"), Some("robot"));
        assert_eq!(user("registry.example/team/a"), Some("t"));
        assert_eq!(user("registry.example/teams"), Some("robot"));
        assert_eq!(user("registry.example.org/a"), None);
        assert_eq!(user("other.example/a"), None);
        let login = credentials.about(&name("registry.example/a")).unwrap();
        assert_eq!(login.password.reveal(), "of:a");
    }

    #[test]
    fn nothing_prints_a_password() {
        let entry = json!({"username": "t", "password": "hush"});
        let credentials = file(json!({"registry.example": entry})).unwrap();
        assert!(!format!("{credentials:?}").contains("hush"));
        let wrong = r#"{"auths": {"a.example": {"auth": "hush"}, "b": "hush"}}"#;
        let error = Credentials::parse(wrong, "config.json").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");
        let error = file(json!({"a.example": {"auth": "hush"}})).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");
        assert!(error.to_string().contains("a.example"));
    }

    #[test]
    fn entries_without_a_password_are_nobody() {
        let credentials = file(json!({
            "a.example": {"identitytoken": "x"},
            "b.example": {"username": "t", "password": "p"},
        }))
        .unwrap();
        assert!(credentials.about(&name("a.example/a")).is_none());
        assert!(credentials.about(&name("b.example/a")).is_some());
        assert!(Credentials::parse("{}", "config.json").is_ok());
    }
}
