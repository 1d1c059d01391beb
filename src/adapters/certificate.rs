//! Floor 2: the certificate that the operator's port is served with: read from two files, and read again for each connection,
//! so that whoever renews them need not restart anybody; or made in memory at the start. A key leaves this file only inside of
//! what serves.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::ToSpan as _;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
        pem::{self, PemObject as _},
    },
};

use super::{clock, kube::error::chain};
use crate::domain::digest::Digest;

/// How long a certificate holds that was made here: as long as the process, which nobody restarts for it.
const YEARS: i32 = 10;

/// There is nothing to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is not there, or may not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of the certificate holds none.
    #[error("{} holds no certificate in PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Why, if it is PEM at all.
        #[source]
        source: Option<pem::Error>,
    },
    /// The file of the key holds none.
    #[error("{} holds no private key in PEM", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Both are there, and do not belong together or are of a form that is not known.
    #[error("{} and {} cannot be used together", cert.display(), key.display())]
    Unfit {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// None could be made.
    #[error("could not make a certificate")]
    Make(#[source] rcgen::Error),
    /// What was made is not taken.
    #[error("could not use the certificate that was made")]
    Made(#[source] rustls::Error),
}

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and behind it those that lead to a root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What is served with, as it stands now.
pub struct Certificate {
    files: Option<Files>,
    current: Mutex<Current>,
}

struct Current {
    served: Arc<ServerConfig>,
    /// Of the two files that it was made of.
    read: Digest,
    /// What was wrong with newer ones, as it was logged.
    trouble: Option<String>,
}

impl Certificate {
    /// The one in these files.
    pub fn of(files: Files) -> Result<Self, CertificateError> {
        let texts = Texts::read(&files)?;
        Ok(Self {
            current: Mutex::new(Current {
                served: Arc::new(texts.served(&files)?),
                read: texts.digest(),
                trouble: None,
            }),
            files: Some(files),
        })
    }

    /// One that is made now, for this machine only. It hides what is said and proves to nobody who says it.
    pub fn made() -> Result<Self, CertificateError> {
        let key = rcgen::KeyPair::generate().map_err(CertificateError::Make)?;
        let names = ["neuralops".to_owned(), "localhost".to_owned()];
        let mut wanted = rcgen::CertificateParams::new(names).map_err(CertificateError::Make)?;
        let today = clock::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let day = |date: jiff::civil::Date| {
            let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
            rcgen::date_time_ymd(date.year().into(), month, day)
        };
        wanted.not_before = day(today.saturating_sub(1.day()));
        wanted.not_after = day(today.saturating_add(YEARS.years()));
        let cert = wanted.self_signed(&key).map_err(CertificateError::Make)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let served = served(vec![cert.der().clone()], key.into());
        Ok(Self {
            files: None,
            current: Mutex::new(Current {
                served: Arc::new(served.map_err(CertificateError::Made)?),
                read: Digest::of(b""),
                trouble: None,
            }),
        })
    }

    /// What the next connection is served with. Files that cannot be used are left aside until they can: while both are
    /// exchanged, they need not belong together.
    pub fn now(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files {
            match renewed(files, &current.read) {
                Ok(None) => current.trouble = None,
                Ok(Some((served, read))) => {
                    tracing::info!(cert = %files.cert.display(), "the port is served with another certificate");
                    *current = Current {
                        served: Arc::new(served),
                        read,
                        trouble: None,
                    };
                }
                Err(error) => {
                    let trouble = chain(&error);
                    if current.trouble.as_ref() != Some(&trouble) {
                        tracing::warn!(
                            "the certificate was not exchanged, the one before is served: {trouble}"
                        );
                        current.trouble = Some(trouble);
                    }
                }
            }
        }
        Arc::clone(&current.served)
    }
}

/// What is to be served with from now on, if the files are others than those read before.
fn renewed(
    files: &Files,
    before: &Digest,
) -> Result<Option<(ServerConfig, Digest)>, CertificateError> {
    let texts = Texts::read(files)?;
    let read = texts.digest();
    if read == *before {
        return Ok(None);
    }
    Ok(Some((texts.served(files)?, read)))
}

/// The two files as they are.
struct Texts {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Texts {
    fn read(files: &Files) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| CertificateError::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Self {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
        })
    }

    fn digest(&self) -> Digest {
        let each = [&self.cert, &self.key].map(|text| Digest::of(text));
        Digest::of(each.map(|digest| digest.to_string()).concat().as_bytes())
    }

    fn served(&self, files: &Files) -> Result<ServerConfig, CertificateError> {
        let none = |source| CertificateError::NoCertificate {
            path: files.cert.clone(),
            source,
        };
        let all = CertificateDer::pem_slice_iter(&self.cert).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|source| none(Some(source)))?;
        if all.is_empty() {
            return Err(none(None));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|source| CertificateError::NoKey {
            path: files.key.clone(),
            source,
        })?;
        served(all, key).map_err(|source| CertificateError::Unfit {
            cert: files.cert.clone(),
            key: files.key.clone(),
            source,
        })
    }
}

fn served(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut served = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    served.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(served)
}
