//! Floor 0: the closed list of reasons. One word for a condition, its event, its metric and its record,
//! so that a person who saw it in one place finds it in the others. Free text belongs into messages.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why something is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason there is, in the order of the reference.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name),)+ }
            }

            /// The reason with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }

            /// What it means, for the reference.
            pub fn meaning(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// Everything that can be checked was checked and is good.
    Valid,
    /// The document breaks a rule; the message says where and what to do.
    Invalid,
    /// The canonical spec is over its limit: split the Playbook or use a source.
    PlaybookTooLarge,
    /// The API server holds an object that does not fit its kind; somebody altered the CRD or the object.
    Undecodable,
    /// An annotation of the Playbook forbids new runs, or the run itself is suspended.
    Suspended,
    /// Everybody whose signature the policies ask for signed exactly this.
    Verified,
    /// A higher revision was accepted under this name: raise the revision, or let a TrustPolicy set it back.
    RevisionTooOld,
    /// This revision was accepted under this name with another document: raise the revision with every change.
    RevisionReused,
    /// The object carries no signature: sign it and attach the bundle.
    Unsigned,
    /// A signature bundle cannot be read: broken, too large, or ambiguous.
    MalformedBundle,
    /// A signature bundle of a form that is not accepted; the message names the form to use.
    UnsupportedBundle,
    /// The signature is about other bytes than these; the message shows both digests.
    DigestMismatch,
    /// No key of the policy made the signature; the message lists the keys that were tried.
    UntrustedKey,
    /// The signing certificate is not one that the trusted root's authorities issued for signing.
    CertificateInvalid,
    /// The signature is by somebody else than the policy names.
    IdentityMismatch,
    /// The signer's identity comes from another issuer than the policy names.
    IssuerMismatch,
    /// The policy asks for a transparency log or a timestamp, and the bundle proves neither.
    LogMissing,
    /// The bundle names a transparency log that the trusted root does not hold.
    LogUnknown,
    /// The proof that the signature stands in the transparency log is wrong.
    LogInvalid,
    /// The timestamp over the signature is wrong, or from outside its authority's time.
    TimestampInvalid,
    /// The trusted root of a policy cannot be read, holds nothing, or has ended.
    TrustRootInvalid,
    /// No TrustPolicy is about this object, so nobody is trusted to sign it.
    NoPolicy,
    /// A TrustPolicy about this object cannot be used yet; the message says what it lacks.
    PolicyNotReady,
    /// Good signatures, but by fewer distinct signers than the policy asks for.
    TooFewSigners,
    /// A statement about the image that is no signature: an SBOM, a scan or something else.
    WrongPredicate,
    /// The signature is about another image.
    SubjectMismatch,
    /// The registry holds no signature of the image in a form that was looked for; the message lists what refers to it.
    NoSignatureFound,
    /// The registry does not answer, or asks to come again later; it is tried again.
    RegistryUnavailable,
    /// The registry does not show the artifact to this account, or to nobody in particular.
    RegistryDenied,
    /// The registry answers what no registry should; the message says what and where.
    RegistryError,
    /// The registry has no such artifact, or hides it from this account.
    ArtifactNotFound,
    /// The bytes are not those with the digest that was asked for, or the registry names another digest for them.
    ContentMismatch,
    /// A manifest in the registry is over its limit.
    ManifestTooLarge,
    /// A layer in the registry is over its limit.
    BlobTooLarge,
    /// The artifact is of another kind than a Playbook; the message names the media types.
    UnexpectedMediaType,
    /// The archive holds links, leads out of itself, or unpacks to more than a Playbook has.
    UnsafeArchive,
    /// The artifact holds no Playbook, or more than one document.
    NotOnePlaybook,
    /// The Playbook and the artifact that it names do not agree; the message says in what.
    SourceMismatch,
    /// The Playbook names a source, and what is signed was not fetched: nothing of it is verified.
    SourceNotFetched,
    /// The verifier itself failed; nothing is trusted, and it is a defect of the operator.
    VerifierError,
    /// The API server did not answer as it should; it is tried again.
    ApiServerUnavailable,
    /// The API server says that the operator may not do this; its roles are incomplete.
    Forbidden,
    /// The object changed meanwhile; it is looked at again at once.
    Conflict,
    /// The API server refused what the operator wrote; a defect of the operator.
    RefusedByApiServer,
    /// The work did not end in its time; it is tried again.
    TimedOut,
    /// A defect of the operator; the object is left alone until it changes.
    InternalError,
    /// A kind of ours is not served: its CustomResourceDefinition is missing or not established.
    CrdNotServed,
    /// The first listing of a kind is not complete yet.
    CacheNotFilled,
    /// The transparency log cannot be written now: nothing new begins before it can.
    AuditUnavailable,
    /// The audit store is behind its anchor: records are lost or an old copy was put in place.
    RolledBack,
    /// The audit store holds records, and the AuditLog that anchors them is gone.
    AnchorMissing,
    /// The AuditLog is not the one that was published last.
    AnchorAltered,
    /// The audit store is not the log that its anchor names, or contradicts itself.
    StoreAltered,
    /// The audit store is of another version, or no store of ours.
    StoreUnusable,
    /// The key that signs checkpoints is gone, or is not the one that the anchor names.
    SigningKeyMissing,
    /// The spool of stops holds what the operator did not write; it was put aside unread.
    SpoolAltered,
    /// The spool of stops is full: a stop happened and could not be recorded.
    SpoolFull,
    /// An admission policy, its binding or a CRD is missing or altered: identities are not proven.
    AdmissionGuardMissing,
    /// The run names no Playbook: a person takes one, or it ends after a day.
    NoPlaybook,
    /// The Playbook that the run names is not there.
    PlaybookNotFound,
    /// The parameters do not fit the Playbook's schema; the message says which and why.
    ParametersInvalid,
    /// The run does not say, or cannot prove, who asked for it: no Gate is opened.
    RequesterUnknown,
    /// An object that a step acts on is not there.
    TargetNotFound,
    /// A step acts on what no step may act on: another namespace, rights, admission, our own kinds.
    TargetNotAllowed,
    /// The API server does not know the kind of an object that a step acts on; is its CRD installed?
    KindUnknown,
    /// The playbook's ServiceAccount lacks a right that a step needs; the message names verb and resource.
    AccessDenied,
    /// The operator may not act as the playbook's ServiceAccount: `neuralops role runner` prints the Role that allows it.
    ImpersonationForbidden,
    /// The API server refused a step's dry run; the message is its own.
    DryRunRefused,
    /// A dry run is not possible: a webhook does not support it, or the API server does not answer.
    DryRunUnavailable,
    /// This version cannot plan such a step.
    StepUnsupported,
    /// A CEL expression does not compile, costs too much, or gives no truth value.
    ExpressionInvalid,
    /// The operator is not told which image sends the requests of http steps: set `--step-image`.
    StepImageMissing,
    /// The operator is not told where Prometheus is: set `--prometheus-url`.
    PrometheusNotConfigured,
    /// Prometheus does not answer, or not in time; it is asked again.
    PrometheusUnavailable,
    /// What answers in Prometheus' place says nothing that can be relied on: an error, warnings, another form; it is asked again.
    PrometheusAnswerUnusable,
    /// Prometheus does not take the query; the message is its own.
    QueryInvalid,
    /// Two steps write the same field of one object, or apply it twice.
    TargetTwice,
    /// A target is owned by a GitOps tool, and the Playbook refuses such targets.
    GitOpsOwned,
    /// The plan is over its limit: make the Playbook smaller.
    PlanTooLarge,
    /// The plan is made, and all that can be known of it is good.
    Planned,
    /// People are asked; the message says who is missing.
    AwaitingApproval,
    /// Approved; it waits for somebody to release it.
    AwaitingRelease,
    /// The right people approved exactly this plan.
    Approved,
    /// Nobody decided in time, nobody was against it, and the signed Playbook approves it then.
    ApprovedByPolicy,
    /// Somebody who may decide rejected it.
    Rejected,
    /// Not enough people decided in time.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
    /// An earlier run is about the same incident and goes on; the message says which. It is counted there.
    Joined,
    /// What was asked about is not what would run now: nothing was written. Ask again.
    Superseded,
    /// Mode Auto, but the signed Playbook does not allow it for this incident: a Gate asks.
    AutoNotAllowed,
    /// Mode Auto, and the signed Playbook allows it for this incident: no Gate asks.
    AutoAllowed,
    /// The Gate of the run is gone, or another one stands in its status.
    GateGone,
    /// Something that is not the run's bears the name of what the run has to make; it goes on when that is deleted.
    NameTaken,
    /// Steps are being done.
    Running,
    /// Everything was done, and was found good.
    Succeeded,
    /// A step failed; the message says which and why.
    StepFailed,
    /// A step failed and is tried again; the message says when.
    Retrying,
    /// A run failed, and what it did is taken back.
    Compensating,
    /// The Job of a step failed.
    JobFailed,
    /// What a step or its run was given has passed.
    DeadlineExceeded,
    /// An object is no longer as it was when the plan was approved.
    TargetDrifted,
    /// Somebody else has done what a step was to do, before it did: it stays theirs.
    DoneByOthers,
    /// A step had another effect than the API server had said before.
    EffectDiffers,
    /// What was checked does not hold.
    CheckFailed,
    /// Another run acts on a target; the message says which.
    TargetLocked,
    /// Another run has taken its place while it was suspended, wants the same and goes on; the message says which.
    IncidentTaken,
    /// As many runs run as may: of the Playbook, of the namespace, or on a target within an hour; the message says who is ahead.
    LimitReached,
    /// A Freeze stops every run before its next effect; the message says whose.
    Frozen,
    /// The object of the run is gone.
    RunDeleted,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_word_that_the_api_server_accepts() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(
                word.len() <= 63 && word.chars().all(|c| c.is_ascii_alphanumeric()),
                "{word}"
            );
            assert!(!reason.meaning().is_empty(), "{word} has no meaning");
        }
    }
}
