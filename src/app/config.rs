//! Floor 4: the configuration of the operator: one typed value from flags, environment and file, in that order of
//! precedence. What is unknown or wrong is refused with its place; nothing else in the crate reads the environment.

mod values;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, parser::ValueSource};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use values::Shown as _;
pub use values::{
    Concurrency, Days, MetricsAuth, NamespaceName, Patience, PrometheusSetting, StepImage,
    StoreSetting,
};

use crate::adapters::{prometheus::NoPrometheusUrl, store::NoStoreUrl};

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watches, plans, executes; serves no API.
    Controller,
    /// Serves the HTTP API; executes nothing.
    Api,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Controller => "controller",
            Self::Api => "api",
        })
    }
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $flag:literal, $env:literal, $key:literal [$($arg:tt)*];)+) => {
        /// Run the operator.
        #[derive(clap::Args, Clone, Debug, Default)]
        pub struct OperatorArgs {
            /// A YAML file with the same settings, named in camelCase
            #[arg(long, value_name = "FILE", env = "NEURALOPS_CONFIG")]
            pub config: Option<PathBuf>,
            /// Print the configuration with the origin of each value, and stop
            #[arg(long)]
            pub print_config: bool,
            $($(#[doc = $doc])+ #[arg(long = $flag, env = $env, $($arg)*)] pub $field: Option<$type>,)+
        }

        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct File {
            $($field: Option<$type>,)+
        }

        /// The configuration in force.
        #[derive(Clone, Debug)]
        pub struct OperatorConfig {
            $($(#[doc = $doc])+ pub $field: $type,)+
            origins: Vec<(&'static str, &'static str)>,
        }

        fn merge(args: &OperatorArgs, matches: &ArgMatches, file: File) -> OperatorConfig {
            let mut origins = Vec::new();
            OperatorConfig {
                $($field: {
                    let (value, origin) = match (args.$field.clone(), file.$field) {
                        (Some(value), _) if matches.value_source(stringify!($field)) == Some(ValueSource::EnvVariable) => (value, concat!("environment ", $env)),
                        (Some(value), _) => (value, concat!("flag --", $flag)),
                        (None, Some(value)) => (value, "file"),
                        (None, None) => ($default, "default"),
                    };
                    origins.push(($key, origin));
                    value
                },)+
                origins,
            }
        }

        impl OperatorConfig {
            /// Every setting as key and text, in order.
            fn values(&self) -> Vec<(&'static str, String)> {
                vec![$(($key, self.$field.shown()),)+]
            }
        }
    };
}

settings! {
    /// What this process does; the chart runs both roles in one process with the embedded store
    roles: Vec<Role> = vec![Role::Controller, Role::Api], "roles", "NEURALOPS_ROLES", "roles" [value_delimiter = ',', num_args = 1..];
    /// Where the API server is; without it KUBECONFIG, then the pod's own account
    kubeconfig: PathBuf = PathBuf::new(), "kubeconfig", "NEURALOPS_KUBECONFIG", "kubeconfig" [value_name = "FILE"];
    /// The operator's own namespace: its Lease and its ConfigMaps
    namespace: String = "neuralops-system".to_owned(), "namespace", "NEURALOPS_NAMESPACE", "namespace" [];
    /// The only namespaces in which the operator works; without it all of them
    watch_namespaces: Vec<NamespaceName> = Vec::new(), "watch-namespaces", "NEURALOPS_WATCH_NAMESPACES", "watchNamespaces" [value_name = "NAMESPACE", value_delimiter = ',', num_args = 1..];
    /// Name of this replica; without it the host's name
    identity: String = String::new(), "identity", "NEURALOPS_IDENTITY", "identity" [];
    /// Where probes and metrics are served
    probe_address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8081)), "probe-address", "NEURALOPS_PROBE_ADDRESS", "probeAddress" [value_name = "ADDRESS:PORT"];
    /// Who may read the metrics: everybody, or who brings a token that the API server knows and lets get /metrics
    metrics_auth: MetricsAuth = MetricsAuth::None, "metrics-auth", "NEURALOPS_METRICS_AUTH", "metricsAuth" [];
    /// A file with the certificate in PEM that probes and metrics are served with, read again when it changes; without it plain HTTP
    tls_cert: PathBuf = PathBuf::new(), "tls-cert", "NEURALOPS_TLS_CERT", "tlsCert" [value_name = "FILE"];
    /// A file with its private key in PEM, likewise
    tls_key: PathBuf = PathBuf::new(), "tls-key", "NEURALOPS_TLS_KEY", "tlsKey" [value_name = "FILE"];
    /// Serve probes and metrics with a certificate that is made at the start, in memory, and proves nobody's name
    tls_self_signed: bool = false, "tls-self-signed", "NEURALOPS_TLS_SELF_SIGNED", "tlsSelfSigned" [num_args = 0..=1, default_missing_value = "true", value_name = "BOOL"];
    /// Name of the Lease
    lease_name: String = "neuralops-controller".to_owned(), "lease-name", "NEURALOPS_LEASE_NAME", "leaseName" [];
    /// How long a leader that falls silent is still the leader
    lease_duration: Patience = Patience(Duration::from_secs(15)), "lease-duration", "NEURALOPS_LEASE_DURATION", "leaseDuration" [value_name = "DURATION"];
    /// Where the embedded store and the spool of stops lie; a disk of this replica's own
    data_dir: PathBuf = PathBuf::from("/var/lib/neuralops"), "data-dir", "NEURALOPS_DATA_DIR", "dataDir" [value_name = "DIR"];
    /// The store of the transparency log: sqlite:///path or postgres://user@host/database; without it a file in the data directory
    store: StoreSetting = StoreSetting::default(), "store", "NEURALOPS_STORE", "store" [value_name = "URL", hide_env_values = true];
    /// Name of the operator's own Secret with the keys that sign checkpoints; made if it is not there
    audit_keys: String = "neuralops-audit-keys".to_owned(), "audit-keys", "NEURALOPS_AUDIT_KEYS", "auditKeys" [value_name = "NAME"];
    /// How many days texts beside the transparency log are kept; the log itself is kept for ever
    audit_retention: Days = Days(400), "audit-retention", "NEURALOPS_AUDIT_RETENTION", "auditRetention" [value_name = "DAYS"];
    /// A docker config with logins for registries, read again whenever one is asked; without it nobody is logged in
    registry_config: PathBuf = PathBuf::new(), "registry-config", "NEURALOPS_REGISTRY_CONFIG", "registryConfig" [value_name = "FILE"];
    /// Registries that are spoken to without TLS; this machine itself always is
    plain_http: Vec<String> = Vec::new(), "plain-http", "NEURALOPS_PLAIN_HTTP", "plainHttp" [value_name = "HOST[:PORT]", value_delimiter = ',', num_args = 1..];
    /// Where the Prometheus is that checks ask: https://host:port; without it no plan with such a check is made
    prometheus_url: PrometheusSetting = PrometheusSetting::default(), "prometheus-url", "NEURALOPS_PROMETHEUS_URL", "prometheusUrl" [value_name = "URL", hide_env_values = true];
    /// A file with a bearer token for Prometheus, read again for each question; without it none is sent
    prometheus_token: PathBuf = PathBuf::new(), "prometheus-token", "NEURALOPS_PROMETHEUS_TOKEN", "prometheusToken" [value_name = "FILE"];
    /// A file with the certificates in PEM that Prometheus is trusted by; without it the machine's
    prometheus_ca: PathBuf = PathBuf::new(), "prometheus-ca", "NEURALOPS_PROMETHEUS_CA", "prometheusCa" [value_name = "FILE"];
    /// How long a question to Prometheus may take
    prometheus_timeout: Patience = Patience(Duration::from_secs(10)), "prometheus-timeout", "NEURALOPS_PROMETHEUS_TIMEOUT", "prometheusTimeout" [value_name = "DURATION"];
    /// The image of this version, by digest, in which the requests of http steps are sent; without it no plan with such a step is made
    step_image: StepImage = StepImage::default(), "step-image", "NEURALOPS_STEP_IMAGE", "stepImage" [value_name = "REGISTRY/REPOSITORY@DIGEST"];
    /// Reconciles at the same time, for each kind
    concurrency: Concurrency = Concurrency(64), "concurrency", "NEURALOPS_CONCURRENCY", "concurrency" [value_name = "COUNT"];
    /// Runs of one namespace that may be under way at the same time; further ones wait in line
    concurrent_runs: Concurrency = Concurrency(32), "concurrent-runs", "NEURALOPS_CONCURRENT_RUNS", "concurrentRuns" [value_name = "COUNT"];
    /// How long a watch may be silent while work is pending, before liveness fails
    liveness_timeout: Patience = Patience(Duration::from_secs(300)), "liveness-timeout", "NEURALOPS_LIVENESS_TIMEOUT", "livenessTimeout" [value_name = "DURATION"];
    /// How long the end of running work is waited for after a signal
    shutdown_grace: Patience = Patience(Duration::from_secs(20)), "shutdown-grace", "NEURALOPS_SHUTDOWN_GRACE", "shutdownGrace" [value_name = "DURATION"];
    /// What is logged: off, error, warn, info, debug or trace, also by module (info,neuralops=debug)
    log_level: String = "info".to_owned(), "log-level", "NEURALOPS_LOG_LEVEL", "logLevel" [];
    /// How logs look
    log_format: LogFormat = LogFormat::Json, "log-format", "NEURALOPS_LOG_FORMAT", "logFormat" [];
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("could not read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has an unknown key or a bad value.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Key, line and column, and what is wrong.
        message: String,
    },
    /// The filter of the log does not parse.
    #[error("logLevel {level:?} is no filter: a level, or module=level, separated by commas")]
    Level {
        /// The filter.
        level: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The text names no store; it is not repeated.
    #[error("store names no store")]
    Store(#[source] NoStoreUrl),
    /// The text is no address; it is not repeated.
    #[error("prometheusUrl is none")]
    Prometheus(#[source] NoPrometheusUrl),
    /// Whoever listens on the way would have the token.
    #[error("prometheusToken would go unencrypted to {0}: give an https address, or no token")]
    PlainToken(String),
    /// One without the other is of no use.
    #[error("tlsCert and tlsKey belong together: give both, or neither for plain HTTP")]
    HalfCertificate,
    /// Which one is meant cannot be told.
    #[error("tlsSelfSigned makes a certificate and tlsCert names one: give one of the two")]
    TwoCertificates,
    /// Nothing would be done.
    #[error("roles is empty: name controller, api or both")]
    NoRole,
}

/// The configuration from flags, environment and file. `matches` are those of the same command line.
pub fn load(args: &OperatorArgs, matches: &ArgMatches) -> Result<OperatorConfig, ConfigError> {
    let file = match &args.config {
        Some(path) => read(path)?,
        None => File::default(),
    };
    let config = merge(args, matches, file);
    if config.roles.is_empty() {
        return Err(ConfigError::NoRole);
    }
    let named = [&config.tls_cert, &config.tls_key].map(|path| !path.as_os_str().is_empty());
    match named {
        [true, true] if config.tls_self_signed => return Err(ConfigError::TwoCertificates),
        [true, false] | [false, true] => return Err(ConfigError::HalfCertificate),
        _ => {}
    }
    config.store.url().map_err(ConfigError::Store)?;
    let prometheus = config.prometheus_url.url();
    let prometheus = prometheus.map_err(ConfigError::Prometheus)?;
    let token = !config.prometheus_token.as_os_str().is_empty();
    if let Some(url) = prometheus.filter(|url| token && url.is_plain()) {
        return Err(ConfigError::PlainToken(url.to_string()));
    }
    EnvFilter::try_new(&config.log_level).map_err(|source| ConfigError::Level {
        level: config.log_level.clone(),
        source,
    })?;
    Ok(config)
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_saphyr::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

impl fmt::Display for OperatorConfig {
    /// As a file that would give the same, with the origin of each value behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((key, value), (_, origin)) in self.values().iter().zip(&self.origins) {
            writeln!(f, "{key}: {value} # {origin}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn load_with(flags: &[&str], file: Option<&str>) -> Result<OperatorConfig, String> {
        let mut command = vec!["operator".to_owned()];
        command.extend(flags.iter().map(ToString::to_string));
        let mut handle = tempfile::NamedTempFile::new().unwrap();
        if let Some(text) = file {
            handle.write_all(text.as_bytes()).unwrap();
            command.extend(["--config".to_owned(), handle.path().display().to_string()]);
        }
        let matches = OperatorArgs::augment_args(Command::new("operator"))
            .try_get_matches_from(command)
            .map_err(|e| e.to_string())?;
        let args = OperatorArgs::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        load(&args, &matches).map_err(|error| crate::adapters::kube::error::chain(&error))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let config = load_with(
            &["--lease-duration", "5s"],
            Some("leaseDuration: 9s\nconcurrency: 7\n"),
        )
        .unwrap();
        assert_eq!(config.lease_duration.0, Duration::from_secs(5));
        assert_eq!(config.concurrency.0, 7);
        assert_eq!(config.namespace, "neuralops-system");
        let printed = config.to_string();
        assert!(
            printed.contains("leaseDuration: 5s # flag --lease-duration\n"),
            "{printed}"
        );
        assert!(printed.contains("concurrency: 7 # file\n"), "{printed}");
        assert!(
            printed.contains("roles: [controller, api] # default\n"),
            "{printed}"
        );
    }

    #[test]
    fn what_is_printed_is_a_file_that_gives_the_same() {
        let config = load_with(&["--log-format", "text", "--roles", "controller"], None).unwrap();
        let again = load_with(&[], Some(&config.to_string())).unwrap();
        assert_eq!(config.values(), again.values());
    }

    #[test]
    fn what_steps_find_beside_the_cluster_is_named_as_it_has_to_be() {
        let token = ["--prometheus-token", "/t", "--prometheus-url"];
        let plain = load_with(&[&token[..], &["http://prometheus:9090"]].concat(), None);
        assert!(plain.unwrap_err().contains("unencrypted"));
        assert!(load_with(&[&token[..], &["http://127.0.0.1:9090"]].concat(), None).is_ok());
        for odd in ["prometheus:9090", "https://u:sesame@prometheus"] {
            let refused = load_with(&["--prometheus-url", odd], None).unwrap_err();
            assert!(refused.contains("prometheusUrl is none"), "{refused}");
            assert!(!refused.contains("sesame"), "{refused}");
        }
        let refused = load_with(&["--step-image", "registry.example/neuralops:1"], None);
        assert!(refused.unwrap_err().contains("has no digest"));
    }

    #[test]
    fn a_certificate_is_named_with_its_key_or_made() {
        let files = ["--tls-cert", "/c", "--tls-key", "/k"];
        assert!(load_with(&files, None).is_ok());
        let made = load_with(&["--tls-self-signed"], None).unwrap();
        assert!(made.tls_self_signed);
        assert!(
            !load_with(&["--tls-self-signed=false"], None)
                .unwrap()
                .tls_self_signed
        );
        assert!(
            load_with(&[], Some("tlsSelfSigned: true\n"))
                .unwrap()
                .tls_self_signed
        );
        for half in [&files[..2], &files[2..]] {
            assert!(
                load_with(half, None)
                    .unwrap_err()
                    .contains("belong together")
            );
        }
        let both = [&files[..], &["--tls-self-signed"]].concat();
        assert!(
            load_with(&both, None)
                .unwrap_err()
                .contains("one of the two")
        );
    }

    #[test]
    fn namespaces_are_named_and_an_empty_name_is_not_all_of_them() {
        let named = |config: OperatorConfig| {
            let names = config.watch_namespaces.into_iter();
            names.map(|name| name.0).collect::<Vec<_>>().join(" ")
        };
        let flags = load_with(&["--watch-namespaces", "shop,pay"], None).unwrap();
        assert_eq!(named(flags), "shop pay");
        let file = load_with(&[], Some("watchNamespaces: [shop, pay]\n")).unwrap();
        assert_eq!(named(file), "shop pay");
        assert_eq!(named(load_with(&[], None).unwrap()), "");
        for bad in ["", "shop,", "Shop", "shop.example", "shop pay"] {
            let refused = load_with(&["--watch-namespaces", bad], None).unwrap_err();
            assert!(refused.contains("is no name of a namespace"), "{refused}");
        }
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_with_their_place() {
        for (text, said) in [
            (
                "concurrency: 4\nleaseDurations: 9s\n",
                vec!["leaseDurations", "line 2"],
            ),
            (
                "concurrency: 0\n",
                vec!["out of range: 1 to 1024", "line 1"],
            ),
            (
                "roles: [controller]\nleaseDuration: soon\n",
                vec!["is no duration", "line 2"],
            ),
            ("logFormat: xml\n", vec!["xml", "line 1"]),
            ("probeAddress: here\n", vec!["line 1"]),
            ("- 1\n", vec!["line 1"]),
        ] {
            let error = load_with(&[], Some(text)).unwrap_err();
            for part in said {
                assert!(
                    error.contains(part),
                    "{text:?} gave {error:?} without {part:?}"
                );
            }
        }
        assert!(
            load_with(&["--lease-duration", "1s"], None)
                .unwrap_err()
                .contains("out of range")
        );
        assert!(
            load_with(&["--log-level", "loud=="], None)
                .unwrap_err()
                .contains("is no filter")
        );
        let odd = "postgres://u:open#sesame@db/audit";
        let refused = load_with(&["--store", odd], None).unwrap_err();
        assert!(refused.contains("names no store"), "{refused}");
        assert!(!refused.contains("sesame"), "{refused}");
        let file = format!("store: \"{odd}\"\n");
        assert!(!load_with(&[], Some(&file)).unwrap_err().contains("sesame"));
        assert!(
            load_with(&["--roles", "cook"], None)
                .unwrap_err()
                .contains("cook")
        );
        assert!(
            load_with(&["--config", "/nowhere"], None)
                .unwrap_err()
                .contains("/nowhere")
        );
    }
}
