//! Floor 2: what people write for an artifact: a name with a tag or with a digest. A tag is for finding a digest once;
//! nothing is trusted by a tag.

use std::{fmt, str::FromStr};

use crate::domain::trust::{Image, ImageName, NoImage};

/// A name and a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Where it lies.
    pub name: ImageName,
    /// What it is called there.
    pub tag: String,
}

/// A name with a tag or with a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `registry/repository:tag`.
    Tagged(Tagged),
    /// `registry/repository@sha256:…`.
    Pinned(Image),
}

impl FromStr for Tagged {
    type Err = NoImage;

    fn from_str(text: &str) -> Result<Self, NoImage> {
        let wrong = |what| NoImage::new(text, what);
        if text.contains('@') {
            return Err(wrong("has a digest where a tag belongs"));
        }
        let split = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        let (name, tag) =
            split.ok_or_else(|| wrong("has no tag: write REGISTRY/REPOSITORY:TAG"))?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = |c: char| word(c) || c == '.' || c == '-';
        if !(tag.starts_with(word) && tag.len() <= 128 && tag.chars().all(rest)) {
            return Err(wrong(
                "has a tag that is not of at most 128 letters, digits, _, . and -",
            ));
        }
        Ok(Self {
            name: ImageName::parse(name)?,
            tag: tag.to_owned(),
        })
    }
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl FromStr for Reference {
    type Err = NoImage;

    fn from_str(text: &str) -> Result<Self, NoImage> {
        if text.contains('@') {
            Image::parse(text).map(Self::Pinned)
        } else {
            text.parse().map(Self::Tagged)
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tagged(tagged) => tagged.fmt(f),
            Self::Pinned(image) => image.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_behind_the_last_part_of_the_name() {
        let tagged: Tagged = "localhost:5000/pb/drain:1.4.0".parse().unwrap();
        assert_eq!(tagged.name.to_string(), "localhost:5000/pb/drain");
        assert_eq!(tagged.tag, "1.4.0");
        assert_eq!(tagged.to_string(), "localhost:5000/pb/drain:1.4.0");
        for text in [
            "localhost:5000/pb/drain",
            "registry.example/drain:",
            "registry.example/drain:-a",
            "registry.example/drain:a b",
            "registry.example/drain:a/b",
            "drain:1",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        let pinned = format!("registry.example/drain@sha256:{}", "0".repeat(64));
        assert!(matches!(pinned.parse(), Ok(Reference::Pinned(_))));
        let both = format!("registry.example/drain:1@sha256:{}", "0".repeat(64));
        assert!(both.parse::<Reference>().is_err());
    }
}
