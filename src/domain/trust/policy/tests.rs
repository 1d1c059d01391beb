use super::*;
use crate::domain::trust::Expression;

fn policy(name: &str) -> Policy {
    Policy {
        name: name.into(),
        generation: Some(1),
        matches: Matches::default(),
        keys: vec![KeyRule {
            name: "sre".into(),
            pem: Some("PEM".into()),
            not_after: None,
        }],
        identities: vec![IdentityRule {
            name: "release".into(),
            issuer: "https://issuer.example".into(),
            subject: SubjectRule::Exactly("a".into()),
            repository: None,
            git_ref: None,
        }],
        root: Some("{}".into()),
        log: LogRule::Ignore,
        formats: Formats {
            bundle: true,
            legacy: false,
        },
        threshold: 1,
    }
}

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn all_that_is_given_must_match() {
    let playbook = Signed {
        kind: SignedKind::Playbook,
        namespace: "team-a",
        repository: None,
    };
    let image = Signed {
        kind: SignedKind::Image,
        namespace: "team-a",
        repository: Some("registry.example/tools/say"),
    };
    let given = |namespaces, kinds, registries| Matches {
        namespaces,
        kinds,
        registries,
    };
    for (matches, for_playbook, for_image) in [
        (given(None, None, None), true, true),
        (given(words(&["shop", "team-*"]), None, None), true, true),
        (given(words(&["shop"]), None, None), false, false),
        (given(words(&[]), None, None), false, false),
        (
            given(None, Some(vec![SignedKind::Image]), None),
            false,
            true,
        ),
        (
            given(None, None, words(&["registry.example/*"])),
            false,
            true,
        ),
        (
            given(
                words(&["shop"]),
                Some(vec![SignedKind::Image]),
                words(&["*"]),
            ),
            false,
            false,
        ),
    ] {
        assert_eq!(matches.cover(playbook), for_playbook, "{matches:?}");
        assert_eq!(matches.cover(image), for_image, "{matches:?}");
    }
}

#[test]
fn the_digest_knows_no_order_and_no_generation() {
    let (a, mut b) = (policy("a"), policy("b"));
    let before = policy_digest(&[&a, &b]).unwrap();
    b.generation = Some(2);
    assert_eq!(policy_digest(&[&b, &a]).unwrap(), before);
    assert_ne!(policy_digest(&[&a]).unwrap(), before);
}

#[test]
fn everything_that_changes_trust_changes_the_digest() {
    type Change = fn(&mut Policy);
    let changes: [(&str, Change); 15] = [
        ("name", |p| p.name = "other".into()),
        ("namespaces", |p| p.matches.namespaces = words(&["*"])),
        ("kinds", |p| {
            p.matches.kinds = Some(vec![SignedKind::Playbook])
        }),
        ("registries", |p| p.matches.registries = words(&["*"])),
        ("key", |p| p.keys[0].pem = Some("OTHER".into())),
        ("key gone", |p| p.keys[0].pem = None),
        ("notAfter", |p| {
            p.keys[0].not_after = Some(Timestamp::UNIX_EPOCH)
        }),
        ("issuer", |p| p.identities[0].issuer.push('x')),
        ("subject", |p| {
            p.identities[0].subject = SubjectRule::Exactly("b".into())
        }),
        ("expression", |p| {
            p.identities[0].subject = SubjectRule::Expression(Expression::new("a").unwrap());
        }),
        ("ref", |p| p.identities[0].git_ref = Some("main".into())),
        ("root", |p| p.root = Some("{ }".into())),
        ("log", |p| p.log = LogRule::Required),
        ("formats", |p| p.formats.legacy = true),
        ("threshold", |p| p.threshold = 2),
    ];
    let before = policy("a").digest().unwrap();
    for (what, change) in changes {
        let mut changed = policy("a");
        change(&mut changed);
        assert_ne!(changed.digest().unwrap(), before, "{what}");
    }
}
