//! Floor 3: a Playbook's file, read without any type in between: the bytes that are signed are those of the raw values.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{PlaybookFileError, ambiguous};
use crate::{
    api::API_VERSION,
    domain::{
        document::{Document, Scope},
        lint::{Finding, lint, lint_sourced},
    },
};

/// A file and where it is going to be applied.
#[derive(clap::Args, Debug)]
pub struct FileArgs {
    /// The Playbook, as YAML or JSON
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: PathBuf,
    /// The namespace, if the file names none
    #[arg(short = 'n', long, default_value = "default")]
    namespace: String,
}

/// A file to be signed, and for which namespace.
#[derive(clap::Args, Debug)]
pub struct SignedArgs {
    /// The Playbook, as YAML or JSON; - reads standard input
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE",
        default_value = "-"
    )]
    pub file: PathBuf,
    /// The namespace, if the file names none
    #[arg(short = 'n', long)]
    pub namespace: Option<String>,
    /// Leave the namespace out: the signature is good in any
    #[arg(long, conflicts_with = "namespace")]
    any_namespace: bool,
}

/// A Playbook's file.
pub struct PlaybookFile {
    /// Everything that stands in it.
    pub object: Value,
    name: String,
    namespace: Option<String>,
}

impl PlaybookFile {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, PlaybookFileError> {
        Self::parse(path, &text(path)?)
    }

    /// The same for what stands in it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PlaybookFileError> {
        let object: Value =
            serde_saphyr::from_str(text).map_err(|error| PlaybookFileError::Parse {
                path: path.to_owned(),
                message: error.to_string(),
            })?;
        if let Some(message) = ambiguous::find(text) {
            return Err(PlaybookFileError::Parse {
                path: path.to_owned(),
                message,
            });
        }
        let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let wrong = |what| PlaybookFileError::NotAPlaybook {
            path: path.to_owned(),
            what,
        };
        if field("/apiVersion") != Some(API_VERSION) || field("/kind") != Some("Playbook") {
            return Err(wrong(format!(
                "not a Playbook of {API_VERSION} but {} {}",
                field("/apiVersion").unwrap_or("?"),
                field("/kind").unwrap_or("?")
            )));
        }
        let name = field("/metadata/name")
            .ok_or_else(|| wrong("metadata.name is missing".into()))?
            .to_owned();
        let namespace = field("/metadata/namespace").map(ToOwned::to_owned);
        Ok(Self {
            object,
            name,
            namespace,
        })
    }

    /// Its document in the namespace that it names, or else in this one.
    pub fn document(&self, namespace: &str) -> Document {
        Document {
            api_version: API_VERSION.to_owned(),
            name: self.name.clone(),
            namespace: self
                .namespace
                .clone()
                .unwrap_or_else(|| namespace.to_owned()),
            spec: self.object.get("spec").cloned().unwrap_or_default(),
        }
    }

    /// The namespace that it names.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Its annotations.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let annotations = self.object.pointer("/metadata/annotations");
        let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
        annotations
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

impl SignedArgs {
    /// The document, and the form in which it is signed.
    pub fn read(&self) -> Result<(PlaybookFile, Document, Scope), PlaybookFileError> {
        self.read_with(lint)
    }

    /// The same for an artifact, which may be larger.
    pub fn read_sourced(&self) -> Result<(PlaybookFile, Document, Scope), PlaybookFileError> {
        self.read_with(lint_sourced)
    }

    fn read_with(
        &self,
        lint: fn(&Document) -> Vec<Finding>,
    ) -> Result<(PlaybookFile, Document, Scope), PlaybookFileError> {
        let file = PlaybookFile::read(&self.file)?;
        let scope = if self.any_namespace {
            Scope::Anywhere
        } else {
            Scope::Namespaced
        };
        let namespace = match (file.namespace(), &self.namespace) {
            (Some(written), Some(given)) if written != given => {
                return Err(PlaybookFileError::Unusable {
                    path: self.file.clone(),
                    message: format!(
                        "the file says namespace {written:?} and the command {given:?}; leave one out"
                    ),
                });
            }
            (Some(written), _) => written.to_owned(),
            (None, Some(given)) => given.clone(),
            (None, None) if self.any_namespace => "default".to_owned(),
            (None, None) => return Err(PlaybookFileError::NoNamespace(self.file.clone())),
        };
        let document = file.document(&namespace);
        super::lint::check_with(&self.file, &document, lint)?;
        Ok((file, document, scope))
    }
}

/// The document of a file, for `lint` and `digest`.
pub fn read(args: &FileArgs) -> Result<Document, PlaybookFileError> {
    Ok(PlaybookFile::read(&args.file)?.document(&args.namespace))
}

/// The bytes that are signed.
pub fn canonical(
    path: &Path,
    document: &Document,
    scope: Scope,
) -> Result<Vec<u8>, PlaybookFileError> {
    document
        .canonical_in(scope)
        .map_err(|source| PlaybookFileError::NotCanonical {
            path: path.to_owned(),
            source,
        })
}

/// What stands in a file, or comes on standard input.
pub fn text(path: &Path) -> Result<String, PlaybookFileError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|source| PlaybookFileError::Read {
        path: path.to_owned(),
        source,
    })
}
