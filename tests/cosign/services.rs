//! The services and registries of a test, which end before anything is verified.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;

use crate::desk::{Desk, bed};

/// The services and registries of this process; they end when it does, whatever happens.
pub struct Services {
    folder: TempDir,
    /// What `up` and `registries` said.
    pub env: BTreeMap<String, String>,
}

impl Services {
    /// Both, `up` with these options.
    pub fn start(options: &[&str]) -> Self {
        let mut services = Self::registries();
        services.begin("up", options);
        services
    }

    /// The registries alone.
    pub fn registries() -> Self {
        let mut services = Self {
            folder: tempfile::tempdir().unwrap(),
            env: BTreeMap::new(),
        };
        services.begin("registries", &[]);
        services
    }

    fn begin(&mut self, part: &str, options: &[&str]) {
        let (until, place) = (std::process::id().to_string(), self.at(part));
        let said = bed(part, &[options, &["--until", &until, &place]].concat());
        for line in said.lines() {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap()
                .split_once('=')
                .unwrap();
            self.env.insert(name.to_owned(), value.to_owned());
        }
    }

    fn at(&self, part: &str) -> String {
        self.folder.path().join(part).display().to_string()
    }

    fn token(&self, issuer: &str, claims: &[&str]) -> String {
        let place = self.at("up");
        let args = [&[place.as_str(), issuer], claims].concat();
        bed("token", &args)
    }

    /// Lays files of the services on the desk, and the three identities.
    pub fn lay_out(&self, desk: &mut Desk, files: &[&str]) {
        for file in files {
            let name = Path::new(file).file_name().unwrap().to_str().unwrap();
            fs::copy(self.folder.path().join("up").join(file), desk.path(name)).unwrap();
        }
        for (name, value) in &self.env {
            if let Some(word) = name.strip_prefix("SIGNING_BED_") {
                desk.say(word, value);
            }
        }
        self.introduce(desk);
    }

    /// The three identities, as cosign is given them.
    fn introduce(&self, desk: &mut Desk) {
        let mail = self.token("mail", &["email=alice@shop.example"]);
        desk.say("MAIL_TOKEN", mail);
        let workflow = self.token(
            "workflow",
            &[
                "sub=repo:shop/playbooks:ref:refs/heads/main",
                "job_workflow_ref=shop/playbooks/.github/workflows/release.yaml@refs/heads/main",
                "repository=shop/playbooks",
                "ref=refs/heads/main",
                "event_name=push",
                "workflow=release",
                "sha=8f3c1d0a5b7e49f2a6d4c8b1e0f793a2d5c6b4e8",
            ],
        );
        desk.say("WORKFLOW_TOKEN", workflow);
        let account = self.token(
            "account",
            &[
                "sub=system:serviceaccount:ci:signer",
                r#"kubernetes.io={"namespace":"ci","serviceaccount":{"name":"signer","uid":"0b1f6c8e-5d5c-4c52-9b0f-4f0f3a8d7e21"}}"#,
            ],
        );
        desk.say("ACCOUNT_TOKEN", account);
        for kind in ["mail", "workflow", "account"] {
            let issuers = &self.env["SIGNING_BED_ISSUERS"];
            desk.say(
                &format!("{}_ISSUER", kind.to_uppercase()),
                format!("{issuers}/{kind}"),
            );
        }
    }

    /// Ends one of the two.
    pub fn stop(&self, part: &str) {
        bed("down", &[&self.at(part)]);
        assert!(!Path::new(&self.at(part)).exists());
        for (name, value) in &self.env {
            // SIGNING_BED_REGISTRY_* are the registries, the rest are the services.
            if name.contains("_REGISTRY_") == (part == "registries")
                && let Some(address) = address(value)
            {
                let refused = std::net::TcpStream::connect(&address);
                assert!(refused.is_err(), "{name} still answers at {address}");
            }
        }
    }
}

impl Drop for Services {
    /// Before the folder, which says what runs, is removed.
    fn drop(&mut self) {
        for part in ["up", "registries"] {
            if Path::new(&self.at(part)).exists() {
                bed("down", &[&self.at(part)]);
            }
        }
    }
}

/// Host and port of an address or URL.
fn address(value: &str) -> Option<String> {
    let rest = value.strip_prefix("http://").unwrap_or(value);
    let address = rest.split('/').next()?;
    address.starts_with("127.").then(|| address.to_owned())
}
