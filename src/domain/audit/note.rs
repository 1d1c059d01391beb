//! Floor 0: C2SP signed notes: a text, and below it lines by which keys sign it. Ed25519 only, by the provider that the
//! whole product uses. A text is worth nothing before [`Note::verify`]; keys come from whoever trusts them, never from
//! the note.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// A note is never larger, with its signatures.
pub const LARGEST: usize = 64 * 1024;
/// A note never has more signatures. Verifiers must take as many.
pub const MOST_SIGNATURES: usize = 16;

/// The signature type that a key says of itself: Ed25519 over the text.
const TYPE: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";
const DASH: &str = "\u{2014} ";

/// Why a text or a seed is no key. None of them repeats the text: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not have the form.
    #[error("not a key: name, hash and base64 of 33 bytes, with plus signs between")]
    Form,
    /// Its name cannot stand in a note.
    #[error("the key's name is empty, or has a space, a plus sign or a control character")]
    Name,
    /// It signs in another way.
    #[error("the key has signature type {0}; only {TYPE}, Ed25519, is known")]
    Type(u8),
    /// It was altered, or belongs to another name.
    #[error("the key's hash is not that of its name and key")]
    Hash,
    /// The provider does not make a key of it.
    #[error("the seed makes no Ed25519 key")]
    Seed,
}

/// Whether a key can have this name.
fn is_name(name: &str) -> bool {
    let outside = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && !name.chars().any(outside)
}

/// The first bytes of a hash over name and key. It finds the key and proves nothing.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', TYPE]);
    hasher.update(public);
    let hash: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

/// A key as it is written down: `name+id+base64(type, key)`.
fn write_key(name: &str, id: [u8; 4], key: &[u8; 32]) -> String {
    let id = u32::from_be_bytes(id);
    let typed = [&[TYPE], key.as_slice()].concat();
    format!("{name}+{id:08x}+{}", STANDARD.encode(typed))
}

/// A key from what [`write_key`] writes; whether the id is right is for the caller to see.
fn read_key(text: &str) -> Result<(&str, [u8; 32]), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Form);
    };
    if !is_name(name) {
        return Err(KeyError::Name);
    }
    let key = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
    match key.split_first() {
        Some((&TYPE, key)) => Ok((name, key.try_into().map_err(|_| KeyError::Form)?)),
        Some((other, _)) => Err(KeyError::Type(*other)),
        None => Err(KeyError::Form),
    }
}

/// A key that notes are checked with. Its text is that of Go's notes: `name+hash+base64`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Self {
        Self {
            name: name.to_owned(),
            id: key_id(name, &public),
            public,
        }
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_key(&self.name, self.id, &self.public))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, public) = read_key(text)?;
        let key = Self::new(name, public);
        // Name and key were read from it, so only the hash can differ.
        if key.to_string() == text {
            Ok(key)
        } else {
            Err(KeyError::Hash)
        }
    }
}

/// A key that signs notes. Its text is that of Go's notes; whoever has it can sign.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    verifier: VerifierKey,
}

impl SigningKey {
    /// The key of this name that this seed makes. The seed has to be random and secret.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| KeyError::Seed)?;
        Ok(Self {
            verifier: VerifierKey::new(name, public),
            seed: *seed,
            pair,
        })
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// What its notes are checked with.
    pub fn verifier(&self) -> VerifierKey {
        self.verifier.clone()
    }

    /// The secret, to be kept in a Secret.
    pub fn to_private_text(&self) -> String {
        let key = write_key(self.name(), self.verifier.id, &self.seed);
        format!("{PRIVATE}{key}")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.name())
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let key = text.strip_prefix(PRIVATE).ok_or(KeyError::Form)?;
        let (name, seed) = read_key(key)?;
        let signing = Self::from_seed(name, &seed)?;
        if signing.to_private_text() == text {
            Ok(signing)
        } else {
            Err(KeyError::Hash)
        }
    }
}

/// Why a note cannot be read, signed or believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is too large.
    #[error("a note has {0} bytes; {LARGEST} are allowed")]
    TooLarge(usize),
    /// It has characters that can hide something from who looks at it.
    #[error("a note has a control character")]
    Control,
    /// It has no text that ends in a newline, or no blank line and signatures below.
    #[error("a note is not a text, a blank line and signatures")]
    Form,
    /// One of its signatures does not read.
    #[error("signature {0} of the note is not a dash, a name and a base64 signature")]
    Signature(usize),
    /// It has none, or too many.
    #[error("a note has {0} signatures; 1 to {MOST_SIGNATURES} are allowed")]
    Count(usize),
    /// A key signs it twice.
    #[error("the note is signed twice by {0}")]
    Twice(String),
    /// A known key did not sign this text.
    #[error("the signature of {0} is not right")]
    Wrong(String),
    /// No known key signed it.
    #[error("no known key signed the note")]
    Unknown,
    /// The provider did not sign.
    #[error("{0} could not sign")]
    Sign(String),
}

/// One line below the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (id, bytes) = signature.split_first_chunk()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }

    /// Whose it says it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [self.id.as_slice(), &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, STANDARD.encode(signature))
    }
}

/// A signed text. Its [`fmt::Display`] is the note again, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed, with its last newline.
    pub text: String,
    /// By whom.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note and believes nothing of it.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > LARGEST {
            return Err(NoteError::TooLarge(note.len()));
        }
        if has_control(note) {
            return Err(NoteError::Control);
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Form)?;
        let count = lines.split('\n').count();
        if count > MOST_SIGNATURES {
            return Err(NoteError::Count(count));
        }
        let parsed = lines
            .split('\n')
            .zip(1..)
            .map(|(line, at)| Signature::parse(line).ok_or(NoteError::Signature(at)));
        Ok(Self {
            text: format!("{text}\n"),
            signatures: parsed.collect::<Result<_, _>>()?,
        })
    }

    /// The text, signed by each of these keys.
    pub fn sign(text: &str, keys: &[&SigningKey]) -> Result<String, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Form);
        }
        if has_control(text) {
            return Err(NoteError::Control);
        }
        if !(1..=MOST_SIGNATURES).contains(&keys.len()) {
            return Err(NoteError::Count(keys.len()));
        }
        let mut note = Self {
            text: text.to_owned(),
            signatures: Vec::new(),
        };
        for key in keys {
            let VerifierKey { name, id, .. } = &key.verifier;
            if note.signatures.iter().any(|one| one.is_by(&key.verifier)) {
                return Err(NoteError::Twice(name.clone()));
            }
            let signed = key.pair.try_sign(text.as_bytes());
            let signed = signed.map_err(|_| NoteError::Sign(name.clone()))?;
            note.signatures.push(Signature {
                name: name.clone(),
                id: *id,
                bytes: signed.as_ref().to_vec(),
            });
        }
        let note = note.to_string();
        if note.len() > LARGEST {
            return Err(NoteError::TooLarge(note.len()));
        }
        Ok(note)
    }

    /// The first key that signed this. A signature by one of the keys that is wrong spoils the note, whoever else signed;
    /// signatures by other keys count for nothing.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<&'k VerifierKey, NoteError> {
        let signers = self.signers(keys)?;
        signers.first().copied().ok_or(NoteError::Unknown)
    }

    /// Every one of the keys that signed this, if none is wrong; in the order of the signatures.
    pub(super) fn signers<'k>(
        &self,
        keys: &'k [VerifierKey],
    ) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            if signers.iter().any(|key| signature.is_by(key)) {
                return Err(NoteError::Twice(signature.name.clone()));
            }
            // Keys that share a name and four bytes of hash: both would have to be right, which cannot be.
            for key in keys.iter().filter(|key| signature.is_by(key)) {
                UnparsedPublicKey::new(&ED25519, key.public)
                    .verify(self.text.as_bytes(), &signature.bytes)
                    .map_err(|_| NoteError::Wrong(signature.name.clone()))?;
                signers.push(key);
            }
        }
        Ok(signers)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|one| writeln!(f, "{one}"))
    }
}

/// The format forbids those below the space. The others are as good for deceiving a terminal, and no text of ours has one.
fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

#[cfg(test)]
mod tests;
