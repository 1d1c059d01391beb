//! Floor 2: where the store lies, as a URL. It says everything itself: what it leaves out is never taken from elsewhere,
//! and what it says of a password is shown nowhere.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// `sqlite:///absolute/path/audit.db`, or `postgres://user:<password>@host:port/database`.
#[derive(Clone)]
pub struct StoreUrl(Place);

#[derive(Clone)]
pub(super) enum Place {
    Sqlite(PathBuf),
    Postgres {
        options: Box<PgConnectOptions>,
        /// Without password and options.
        shown: String,
    },
}

/// The text names no store. Never quotes it: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum NoStoreUrl {
    /// It begins otherwise.
    #[error(
        "a store is sqlite:///absolute/path/audit.db or postgres://user:<password>@host:port/database"
    )]
    Scheme,
    /// The path of an SQLite file is relative, a folder, or has options.
    #[error("sqlite:// is followed by the absolute path of a file, and by nothing else")]
    Path,
    /// A PostgreSQL URL leaves something out.
    #[error("the postgres URL names no {0}; special characters in it are written as %XX")]
    Missing(&'static str),
    /// A PostgreSQL URL has an option that we do not know, or would have to refuse.
    #[error(
        "the postgres URL has an unknown option; known are sslmode, sslrootcert, sslcert and sslkey"
    )]
    Option,
    /// A mode that is content without encryption, and does not say so.
    #[error(
        "sslmode={0} would go on in the clear without a word: leave it out for verify-full, or say disable where nobody else is on the way"
    )]
    Hesitant(&'static str),
    /// The driver does not read it.
    #[error("the postgres URL cannot be read")]
    Unreadable(#[source] sqlx::Error),
}

const OPTIONS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

impl StoreUrl {
    /// The embedded store in this file.
    pub fn sqlite(file: &Path) -> Self {
        Self(Place::Sqlite(file.to_owned()))
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl FromStr for StoreUrl {
    type Err = NoStoreUrl;

    fn from_str(text: &str) -> Result<Self, NoStoreUrl> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return sqlite(path).map(Self);
        }
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(NoStoreUrl::Scheme)?;
        postgres(text, rest).map(Self)
    }
}

fn sqlite(path: &str) -> Result<Place, NoStoreUrl> {
    // A query or fragment would silently become a part of the file's name.
    let file = path.starts_with('/') && !path.ends_with('/') && !path.contains(['?', '#', '\0']);
    file.then(|| Place::Sqlite(path.into()))
        .ok_or(NoStoreUrl::Path)
}

/// Demands what the driver would otherwise take from PGHOST, PGUSER and their like, or from a password file.
fn postgres(text: &str, rest: &str) -> Result<Place, NoStoreUrl> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (account, host) = authority
        .rsplit_once('@')
        .ok_or(NoStoreUrl::Missing("user before an @"))?;
    let (user, password) = account.split_once(':').unwrap_or((account, ""));
    let (database, options) = path.split_once('?').unwrap_or((path, ""));
    if user.is_empty() {
        return Err(NoStoreUrl::Missing("user"));
    }
    if host.is_empty() || host.starts_with(':') {
        return Err(NoStoreUrl::Missing("host"));
    }
    if database.trim_start_matches('/').is_empty() || path.contains('#') {
        return Err(NoStoreUrl::Missing("database"));
    }
    let mut names = options
        .split('&')
        .filter(|option| !option.is_empty())
        .map(|option| option.split_once('=').map_or(option, |(name, _)| name));
    if !names.clone().all(|name| OPTIONS.contains(&name)) {
        return Err(NoStoreUrl::Option);
    }
    let parsed: PgConnectOptions = text.parse().map_err(NoStoreUrl::Unreadable)?;
    let says = names.clone().any(|name| name == "sslmode");
    let certain = names.any(|name| name.starts_with("ssl"));
    let mut parsed = encrypted(parsed, says, is_this_machine(host) && !certain)?;
    // The driver gives the brackets to TLS as a part of the name, and no certificate has that.
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.split(']').next())
    {
        parsed = parsed.host(address);
    }
    if password.is_empty() {
        parsed = parsed.password("");
    }
    // An IPv6 address stands in brackets and is itself full of colons.
    if !host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        parsed = parsed.port(5432);
    }
    let shown = format!("postgres://{user}@{host}{database}");
    Ok(Place::Postgres {
        options: Box::new(parsed),
        shown,
    })
}

/// With the encryption that the URL says; where it says nothing, verified, unless nothing leaves the machine. To take plain text where the other
/// side offers nothing better is no choice here: whoever is on the way could offer just that.
fn encrypted(
    parsed: PgConnectOptions,
    says: bool,
    stays: bool,
) -> Result<PgConnectOptions, NoStoreUrl> {
    match parsed.get_ssl_mode() {
        PgSslMode::Allow if says => Err(NoStoreUrl::Hesitant("allow")),
        PgSslMode::Prefer if says => Err(NoStoreUrl::Hesitant("prefer")),
        _ if says => Ok(parsed),
        _ if stays => Ok(parsed.ssl_mode(PgSslMode::Disable)),
        _ => Ok(parsed.ssl_mode(PgSslMode::VerifyFull)),
    }
}

/// Whether nothing of it leaves the machine: the folder of a socket, or an address of the machine itself.
fn is_this_machine(host: &str) -> bool {
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address: Result<IpAddr, _> = host.parse();
    address.is_ok_and(|address| address.is_loopback())
        || host == "localhost"
        || host.to_lowercase().starts_with("%2f")
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Place::Postgres { shown, .. } => f.write_str(shown),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<StoreUrl>().unwrap_err().to_string()
    }

    #[test]
    fn an_absolute_file_is_a_store() {
        let url: StoreUrl = "sqlite:///var/lib/neuralops/audit.db".parse().unwrap();
        assert!(
            matches!(url.place(), Place::Sqlite(path) if path.as_os_str() == "/var/lib/neuralops/audit.db")
        );
        assert_eq!(url.to_string(), "sqlite:///var/lib/neuralops/audit.db");
    }

    #[test]
    fn other_texts_are_refused_with_what_is_allowed() {
        for text in [
            "",
            "audit.db",
            "mysql://u@h/d",
            "sqlite:/a",
            "sqlite::memory:",
        ] {
            assert!(refused(text).contains("sqlite:///absolute"), "{text}");
        }
        for text in [
            "sqlite://audit.db",
            "sqlite://",
            "sqlite:///var/",
            "sqlite:///a.db?mode=memory",
        ] {
            assert!(refused(text).contains("absolute path of a file"), "{text}");
        }
    }

    #[test]
    fn a_postgres_url_says_everything_itself() {
        for (text, missing) in [
            ("postgres://host/db", "user before an @"),
            ("postgres://:secret@host/db", "user"),
            ("postgres://user@/db", "host"),
            ("postgres://user@:5432/db", "host"),
            ("postgres://user@host", "database"),
            ("postgres://user@host/?sslmode=require", "database"),
            ("postgres://user@host/db#x", "database"),
        ] {
            assert!(
                refused(text).contains(&format!("names no {missing};")),
                "{text}: {}",
                refused(text)
            );
        }
        for odd in ['/', '#', '?'] {
            let text = format!("postgres://user:sec{odd}ret@host/db");
            assert!(refused(&text).contains("written as %XX"), "{text}");
        }
        for option in [
            "password=x",
            "host=/run",
            "options=-cfsync=off",
            "application_name=x",
        ] {
            let text = format!("postgres://user@host/db?{option}");
            assert!(refused(&text).contains("unknown option"), "{text}");
        }
        assert!(refused("postgres://user@host:many/db").contains("cannot be read"));
    }

    #[test]
    fn nothing_shows_the_password() {
        let word = "hunter%2F2";
        for option in ["", "?sslmode=verify-full&sslrootcert=/etc/ca.pem"] {
            let text = format!("postgres://ops:{word}@[::1]:6543/audit{option}");
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), "postgres://ops@[::1]:6543/audit");
            assert!(!format!("{url:?}").contains("hunter"), "{url:?}");
        }
        for text in [
            format!("postgres://ops:{word}@host:x/audit"),
            format!("postgres://ops:{word}@host/audit?password={word}"),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(
                !format!("{error:?} {error}").contains("hunter/2"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn what_it_leaves_out_has_a_value_of_its_own() {
        let url: StoreUrl = "postgresql://ops@db.example/audit".parse().unwrap();
        let Place::Postgres { options, .. } = url.place() else {
            panic!("{url}")
        };
        assert_eq!(options.get_host(), "db.example");
        assert_eq!(options.get_port(), 5432);
        assert_eq!(options.get_username(), "ops");
        assert_eq!(options.get_database(), Some("audit"));
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_for_whom_it_is_meant_unless_it_says_otherwise() {
        let mode = |text: &str| {
            let url: StoreUrl = format!("postgres://ops@{text}").parse().unwrap();
            let Place::Postgres { options, .. } = url.place() else {
                panic!("{url}")
            };
            format!("{:?}", options.get_ssl_mode())
        };
        for (text, wanted) in [
            ("db.example/audit", "VerifyFull"),
            ("10.0.0.1:5432/audit?sslrootcert=/etc/ca.pem", "VerifyFull"),
            ("[fd00::1]/audit", "VerifyFull"),
            ("localhost.example/audit", "VerifyFull"),
            ("db.example/audit?sslmode=require", "Require"),
            ("db.example/audit?sslmode=disable", "Disable"),
            ("localhost:5432/audit", "Disable"),
            ("localhost/audit?sslrootcert=/etc/ca.pem", "VerifyFull"),
            ("127.0.0.1/audit", "Disable"),
            ("[::1]:5432/audit", "Disable"),
            ("%2Frun%2Fpostgresql:5432/audit", "Disable"),
            ("127.0.0.1/audit?sslmode=verify-full", "VerifyFull"),
        ] {
            assert_eq!(mode(text), wanted, "{text}");
        }
        for mode in ["prefer", "allow", "Prefer", "%70refer"] {
            let said = refused(&format!("postgres://ops@db.example/audit?sslmode={mode}"));
            assert!(said.contains("in the clear without a word"), "{said}");
        }
        assert!(refused("postgres://ops@h/d?sslmode=").contains("cannot be read"));
    }

    #[test]
    fn an_address_in_brackets_is_named_to_tls_without_them() {
        let url: StoreUrl = "postgres://ops@[fd00::1]:6543/audit".parse().unwrap();
        let Place::Postgres { options, .. } = url.place() else {
            panic!("{url}")
        };
        assert_eq!((options.get_host(), options.get_port()), ("fd00::1", 6543));
    }

    #[test]
    fn a_host_may_be_the_folder_of_a_socket() {
        let url: StoreUrl = "postgres://ops@%2Frun%2Fpostgresql/audit".parse().unwrap();
        let Place::Postgres { options, .. } = url.place() else {
            panic!("{url}")
        };
        assert_eq!(
            options.get_socket().unwrap().to_str(),
            Some("/run/postgresql")
        );
    }
}
