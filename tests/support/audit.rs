//! The API server's own record of who asked for what: it counts requests and names both sides of an impersonation.
//! Only a cluster of ours has it where a test can read it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::Value;

use super::Cluster;

/// One answered request.
#[derive(Debug)]
pub struct AuditEvent {
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// Whose credential it was.
    pub user: String,
    /// As whom it was made, if as somebody else; empty if not.
    pub impersonated: String,
    pub code: u64,
    pub uri: String,
}

impl Cluster {
    /// The place in the audit log where what happens from now on begins.
    pub fn audit_mark(&self) -> u64 {
        std::fs::metadata(self.audit_log())
            .expect("the audit log")
            .len()
    }

    /// What was answered since the mark. An event is written a moment after its answer, so a test asks repeatedly.
    pub fn audit_since(&self, mark: u64) -> Vec<AuditEvent> {
        let mut file = File::open(self.audit_log()).expect("the audit log");
        file.seek(SeekFrom::Start(mark))
            .expect("the audit log only grows");
        let mut text = String::new();
        file.read_to_string(&mut text)
            .expect("the audit log is text");
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| event(&serde_json::from_str(line).expect("one event a line")))
            .collect()
    }
}

fn event(line: &Value) -> AuditEvent {
    let text = |pointer: &str| {
        line.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    AuditEvent {
        verb: text("/verb"),
        resource: text("/objectRef/resource"),
        subresource: text("/objectRef/subresource"),
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        user: text("/user/username"),
        impersonated: text("/impersonatedUser/username"),
        code: line
            .pointer("/responseStatus/code")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        uri: text("/requestURI"),
    }
}
