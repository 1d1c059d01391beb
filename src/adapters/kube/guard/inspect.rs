//! Floor 2: the guard object by object, for people who ask about an installation. Where the operator asks whether the whole of
//! it stands, this says of each part what was found, also of the parts that an installation may leave out.

use futures::future::join_all;
use kube::{Api, Client, api::DynamicObject};

use super::{GuardError, Guarded, guarded, shipped};

/// What refuses early what the operator refuses as well: an installation may leave it out.
const OPTIONAL: [&str; 3] = [
    include_str!("../../../../config/admission/decision-gate.yaml"),
    include_str!("../../../../config/admission/playbook-secrets.yaml"),
    include_str!("../../../../config/admission/orchestration-secrets.yaml"),
];

/// One object that is shipped, and what was found in its place.
#[derive(Debug)]
pub struct Part {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether an installation may do without it.
    pub optional: bool,
    /// What is there.
    pub found: Found,
}

/// What is there.
#[derive(Debug)]
pub enum Found {
    /// Just that.
    AsShipped,
    /// Nothing.
    Missing,
    /// Something else: what, in a sentence.
    Altered(String),
    /// Nobody knows.
    Unread(Box<kube::Error>),
}

/// Looks at every kind, policy and binding that is shipped.
pub async fn inspect(client: &Client) -> Result<Vec<Part>, GuardError> {
    let mut wanted: Vec<(Guarded, bool)> = Vec::new();
    wanted.extend(shipped()?.into_iter().map(|one| (one, false)));
    for file in OPTIONAL {
        for document in super::documents(file)? {
            wanted.push((guarded(&document)?, true));
        }
    }
    let parts = wanted.into_iter().map(async |(guarded, optional)| {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &guarded.resource);
        let found = match api.get_opt(&guarded.name).await {
            Err(error) => Found::Unread(Box::new(error)),
            Ok(None) => Found::Missing,
            Ok(live) => match guarded.problem(live.as_ref()) {
                None => Found::AsShipped,
                Some(problem) => Found::Altered(problem),
            },
        };
        Part {
            kind: guarded.resource.kind,
            name: guarded.name,
            optional,
            found,
        }
    });
    Ok(join_all(parts).await)
}
