//! Floor 0, tests: notes against the vectors of Go and an implementation that is not ours.

use proptest::prelude::*;
use signed_note as other;
use signed_note::{Signer as _, Verifier as _};

use super::*;
use crate::domain::audit::tests::{cases, nearly};

/// From the documentation of Go's notes.
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SIGNER: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const SIGNATURE: &str = "\u{2014} PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

fn signed(text: &str, keys: &[&SigningKey]) -> Note {
    Note::parse(&Note::sign(text, keys).unwrap()).unwrap()
}

fn their_list(key: &VerifierKey) -> other::VerifierList {
    let theirs = other::StandardVerifier::new(&key.to_string()).unwrap();
    other::VerifierList::new(vec![Box::new(theirs)])
}

#[test]
fn the_note_of_the_go_documentation_is_signed_and_believed() {
    let signing: SigningKey = SIGNER.parse().unwrap();
    let verifier: VerifierKey = VERIFIER.parse().unwrap();
    assert_eq!(signing.verifier(), verifier);
    assert_eq!(signing.name(), "PeterNeumann");
    assert_eq!(signing.to_private_text(), SIGNER);
    assert_eq!(verifier.to_string(), VERIFIER);

    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(Note::sign(TEXT, &[&signing]).unwrap(), note);
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(parsed.text, TEXT);
    assert_eq!(parsed.verify(&[verifier]).unwrap().name(), "PeterNeumann");
    assert_eq!(parsed.to_string(), note);
}

#[test]
fn a_key_is_read_only_as_it_is_written() {
    let key = key("log.example/1", 7).verifier().to_string();
    let (start, secret) = key.rsplit_once('+').unwrap();
    let (name, id) = start.split_once('+').unwrap();
    let typed = |kind: u8, length| STANDARD.encode([vec![kind], vec![5; length]].concat());
    let cases = [
        (String::new(), KeyError::Form),
        ("log.example/1".to_owned(), KeyError::Form),
        (format!("{name}+{id}"), KeyError::Form),
        (format!("{name}+{id}+"), KeyError::Form),
        (format!("{name}+{id}+{secret}="), KeyError::Form),
        (format!("{name}+{id}+{}", typed(1, 31)), KeyError::Form),
        (format!("{name}+{id}+{}", typed(1, 33)), KeyError::Form),
        (format!("{name}+{id}+{}", typed(4, 32)), KeyError::Type(4)),
        (format!("{name}+{id}+{}", typed(1, 32)), KeyError::Hash),
        (format!("other+{id}+{secret}"), KeyError::Hash),
        (format!("{name}+0{id}+{secret}"), KeyError::Hash),
        (
            format!("{name}+{}+{secret}", id.to_uppercase()),
            KeyError::Hash,
        ),
        (format!("+{id}+{secret}"), KeyError::Name),
        (format!("a b+{id}+{secret}"), KeyError::Name),
        (format!("a\u{a0}b+{id}+{secret}"), KeyError::Name),
        (format!("a\u{9b}b+{id}+{secret}"), KeyError::Name),
    ];
    assert!(id.contains(char::is_alphabetic), "{id} has no upper case");
    for (text, error) in cases {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text:?}");
        let private = format!("{PRIVATE}{text}").parse::<SigningKey>();
        // As a seed the public key makes another key, whose id is another.
        assert_eq!(private.unwrap_err(), error, "{text:?}");
    }
    assert_eq!(SIGNER.parse::<VerifierKey>(), Err(KeyError::Form));
    assert_eq!(VERIFIER.parse::<SigningKey>().unwrap_err(), KeyError::Form);
    for name in [
        "",
        " ",
        "a b",
        "a+b",
        "a\nb",
        "a\tb",
        "a\u{2003}b",
        "a\u{7f}",
    ] {
        let key = SigningKey::from_seed(name, &[7; 32]);
        assert_eq!(key.unwrap_err(), KeyError::Name, "{name:?}");
    }
}

#[test]
fn a_signing_key_does_not_show_its_secret() {
    let key: SigningKey = SIGNER.parse().unwrap();
    assert_eq!(
        format!("{key:?} {key:#?}"),
        "SigningKey(PeterNeumann) SigningKey(PeterNeumann)"
    );
    let secret = SIGNER.rsplit_once('+').unwrap().1;
    let spoiled = SIGNER.replacen("c74f20a3", "c74f20a4", 1);
    for text in [spoiled, format!("{SIGNER}="), secret.to_owned()] {
        let error = text.parse::<SigningKey>().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains(&secret[4..12]), "{told}");
    }
}

#[test]
fn only_the_signature_of_a_known_key_counts_and_a_wrong_one_spoils_all() {
    let (log, witness, stranger) = (key("log", 1), key("witness", 2), key("log", 3));
    let known = [log.verifier(), witness.verifier()];
    let verify = |note: &Note| note.verify(&known).map(|key| key.name().to_owned());

    let both = signed("text\n", &[&stranger, &witness, &log]);
    assert_eq!(verify(&both), Ok("witness".to_owned()));
    let signers = both.signers(&known).unwrap();
    assert_eq!(signers, [&known[1], &known[0]]);

    // Only its name is known.
    let foreign = signed("text\n", &[&stranger]);
    assert_eq!(verify(&foreign), Err(NoteError::Unknown));
    assert_eq!(both.verify(&[]), Err(NoteError::Unknown));

    let mut spoiled = both.clone();
    spoiled.signatures[1] = signed("another text\n", &[&witness]).signatures[0].clone();
    assert_eq!(
        verify(&spoiled),
        Err(NoteError::Wrong("witness".to_owned()))
    );
    assert!(
        spoiled.verify(&known[..1]).is_ok(),
        "the witness is not known there"
    );

    let mut ignored = both.clone();
    ignored.signatures[0].bytes = vec![0];
    assert!(verify(&ignored).is_ok(), "the stranger is not known");

    let mut twice = both.clone();
    twice.signatures.push(both.signatures[2].clone());
    assert_eq!(verify(&twice), Err(NoteError::Twice("log".to_owned())));
    let mut strangers = both.clone();
    strangers.signatures.push(both.signatures[0].clone());
    assert!(
        verify(&strangers).is_ok(),
        "what strangers do does not matter"
    );

    let again = Note::sign("text\n", &[&log, &log]);
    assert_eq!(again, Err(NoteError::Twice("log".to_owned())));
    let same = [known[0].clone(), known[0].clone()];
    assert!(both.verify(&same).is_ok(), "a key may be known twice");
}

/// A key that has another's name and id, but is another, can be made in an hour.
#[test]
fn a_key_with_the_id_of_another_does_not_stand_in_for_it() {
    let (log, other) = (key("log", 1), key("log", 2));
    let mut twin = other.verifier();
    twin.id = log.verifier().id;
    let note = signed("text\n", &[&log]);
    assert_eq!(
        note.verify(&[twin.clone()]),
        Err(NoteError::Wrong("log".to_owned()))
    );
    for known in [[twin.clone(), log.verifier()], [log.verifier(), twin]] {
        assert_eq!(note.verify(&known), Err(NoteError::Wrong("log".to_owned())));
    }
}

#[test]
fn no_bit_of_a_note_can_change() {
    let key = key("log", 1);
    let known = [key.verifier()];
    let note = Note::sign("log\n5\ntext\n", &[&key]).unwrap();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut forged = note.clone().into_bytes();
            forged[at] ^= 1 << bit;
            let Ok(forged) = String::from_utf8(forged) else {
                continue;
            };
            let opened = Note::parse(&forged).map(|note| note.verify(&known).is_ok());
            assert_ne!(opened, Ok(true), "bit {bit} of byte {at}: {forged:?}");
        }
    }
}

#[test]
fn a_note_is_read_only_as_it_is_written() {
    let line = signed(TEXT, &[&SIGNER.parse().unwrap()]).signatures[0].to_string();
    let note = |text: &str, lines: &str| format!("{text}\n{lines}");
    let cases = [
        (String::new(), NoteError::Form),
        ("\n".to_owned(), NoteError::Form),
        (TEXT.to_owned(), NoteError::Form),
        (note(TEXT, ""), NoteError::Form),
        (note(TEXT, &line), NoteError::Form),
        (format!("{}{line}\n", TEXT.trim_end()), NoteError::Form),
        (format!("\n{line}\n"), NoteError::Form),
        (note(TEXT, "\n"), NoteError::Form),
        (note(TEXT, &format!("{line}\n\n")), NoteError::Form),
        (note(TEXT, &format!("{line}\r\n")), NoteError::Control),
        (
            note("tab\there\n", &format!("{line}\n")),
            NoteError::Control,
        ),
        (
            note("bell\u{7}\n", &format!("{line}\n")),
            NoteError::Control,
        ),
        (
            note("colour\u{9b}31m\n", &format!("{line}\n")),
            NoteError::Control,
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Note::parse(&text), Err(error), "{text:?}");
    }
}

#[test]
fn a_signature_is_read_only_as_it_is_written() {
    let line = signed(TEXT, &[&SIGNER.parse().unwrap()]).signatures[0].to_string();
    let base64 = line.rsplit_once(' ').unwrap().1;
    let short = STANDARD.encode([1, 2, 3, 4]);
    let wrong = [
        "more".to_owned(),
        format!("{line} "),
        format!(" {line}"),
        format!("- log {base64}"),
        format!("{DASH}{base64}"),
        format!("{DASH} {base64}"),
        format!("{DASH}a b {base64}"),
        format!("{DASH}a+b {base64}"),
        format!("{DASH}a\u{a0}b {base64}"),
        format!("{DASH}log {short}"),
        format!("{DASH}log "),
        format!("{DASH}log"),
        format!("{DASH}log {}", base64.trim_end_matches('=')),
    ];
    for wrong in wrong {
        for (lines, at) in [
            (format!("{wrong}\n"), 1),
            (format!("{line}\n{wrong}\n{line}\n"), 2),
        ] {
            let parsed = Note::parse(&format!("{TEXT}\n{lines}"));
            assert_eq!(parsed, Err(NoteError::Signature(at)), "{lines:?}");
        }
    }
}

#[test]
fn only_what_reads_back_is_signed() {
    let key = key("log", 1);
    assert_eq!(Note::sign("no newline", &[&key]), Err(NoteError::Form));
    assert_eq!(Note::sign("", &[&key]), Err(NoteError::Form));
    assert_eq!(Note::sign("tab\t\n", &[&key]), Err(NoteError::Control));
    assert_eq!(Note::sign(TEXT, &[]), Err(NoteError::Count(0)));
    for text in ["\n", "\n\n", "a\n\nb\n", "a\n\n\n", "\u{2014} log AAAA\n"] {
        let note = signed(text, &[&key]);
        assert_eq!(note.text, text);
        assert!(note.verify(&[key.verifier()]).is_ok(), "{text:?}");
    }
}

#[test]
fn a_note_has_at_most_16_signatures_and_64_kib() {
    let keys: Vec<_> = (0..17).map(|seed| key("log", seed)).collect();
    let keys: Vec<_> = keys.iter().collect();
    let known: Vec<_> = keys.iter().map(|key| key.verifier()).collect();
    let most = signed("text\n", &keys[..16]);
    assert_eq!(most.signers(&known).unwrap().len(), 16);
    assert_eq!(Note::sign("text\n", &keys), Err(NoteError::Count(17)));
    let more = format!("{most}{}\n", most.signatures[0]);
    assert_eq!(Note::parse(&more), Err(NoteError::Count(17)));

    let rest = Note::sign("\n", &keys[..1]).unwrap().len();
    let fits = format!("{}\n", "x".repeat(LARGEST - rest));
    let note = Note::sign(&fits, &keys[..1]).unwrap();
    assert_eq!(note.len(), LARGEST);
    assert!(Note::parse(&note).unwrap().verify(&known).is_ok());
    let large = format!("x{note}");
    assert_eq!(Note::parse(&large), Err(NoteError::TooLarge(LARGEST + 1)));
    let signed = Note::sign(&format!("x{fits}"), &keys[..1]);
    assert_eq!(signed, Err(NoteError::TooLarge(LARGEST + 1)));
}

/// A note, then changed at some places: near enough to one to reach every check of a parser.
fn nearly_a_note() -> impl Strategy<Value = String> {
    let base = Note::sign("log\n5\n\ntext\n", &[&key("log", 1), &key("b", 2)]).unwrap();
    nearly(base)
}

proptest! {
    #![proptest_config(cases(50))]

    #[test]
    fn our_notes_are_believed_by_others_and_theirs_by_us(
        text in "([^\\pC]{0,20}\n){1,5}",
        name in "[^\\pC\\pZ+]{1,20}",
        seed in any::<[u8; 32]>(),
    ) {
        let signing = SigningKey::from_seed(&name, &seed).unwrap();
        let note = Note::sign(&text, &[&signing]).unwrap();
        let read = other::Note::from_bytes(note.as_bytes()).unwrap();
        prop_assert_eq!(read.text(), text.as_bytes());
        let (verified, unverified) = read.verify(&their_list(&signing.verifier())).unwrap();
        prop_assert_eq!((verified.len(), unverified.len()), (1, 0));

        let their = other::StandardSigner::new(&signing.to_private_text()).unwrap();
        let key = other::StandardVerifier::new(&signing.verifier().to_string()).unwrap();
        prop_assert_eq!((their.name(), their.key_id()), (key.name(), key.key_id()));
        let mut from_them = other::Note::new(text.as_bytes(), &[]).unwrap();
        from_them.add_sigs(&[&their]).unwrap();
        let from_them = String::from_utf8(from_them.to_bytes()).unwrap();
        prop_assert_eq!(&from_them, &note);
        let read = Note::parse(&from_them).unwrap();
        let known = [signing.verifier()];
        prop_assert_eq!(read.verify(&known), Ok(&known[0]));
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn what_reads_as_a_note_prints_back_and_reads_elsewhere(text in nearly_a_note()) {
        if let Ok(note) = Note::parse(&text) {
            prop_assert_eq!(note.to_string(), text.clone());
            let theirs = other::Note::from_bytes(text.as_bytes()).unwrap();
            prop_assert_eq!(theirs.text(), note.text.as_bytes());
        }
    }

    #[test]
    fn what_reads_as_a_key_prints_back(text in nearly(VERIFIER.to_owned())) {
        if let Ok(key) = text.parse::<VerifierKey>() {
            prop_assert_eq!(key.to_string(), text.clone());
            prop_assert!(other::StandardVerifier::new(&text).is_ok());
        }
        let _ = format!("{PRIVATE}{text}").parse::<SigningKey>();
    }
}
