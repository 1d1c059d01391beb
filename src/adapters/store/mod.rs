//! Floor 2: stub
use crate::ports::{Store, StoreError};
use std::{fmt, path::Path, str::FromStr, sync::Arc};
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl(String);
impl StoreUrl {
    pub fn sqlite(path: &Path) -> Self {
        Self(path.display().to_string())
    }
}
impl FromStr for StoreUrl {
    type Err = NoStoreUrl;
    fn from_str(t: &str) -> Result<Self, NoStoreUrl> {
        Ok(Self(t.into()))
    }
}
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
#[derive(Debug)]
pub struct NoStoreUrl;
impl fmt::Display for NoStoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x")
    }
}
impl std::error::Error for NoStoreUrl {}
pub enum Mode {
    Operator,
    Reader,
}
pub async fn open(_url: &StoreUrl, _mode: Mode) -> Result<Arc<dyn Store>, StoreError> {
    Err(StoreError::Unusable("stub".into()))
}
