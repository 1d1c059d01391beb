//! Floor 0, tests: checkpoints against an implementation that is not ours.

use proptest::prelude::*;
use signed_note::{Note as OtherNote, StandardSigner};
use tlog_tiles as other;

use super::*;
use crate::domain::audit::tests::{cases, nearly, theirs};

const ORIGIN: &str = "neuralops.io/1f0c/7";

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: 20_852_163,
        root: Hash::of_leaf(b"root"),
    }
}

#[test]
fn a_checkpoint_is_three_lines_and_reads_back() {
    let text = checkpoint().to_text();
    assert_eq!(
        text,
        "neuralops.io/1f0c/7\n20852163\nPAb5plclr2BSYfY2ZyyWINQJcx2JpFHXRV/pxK4WeCk=\n"
    );
    assert_eq!(Checkpoint::parse(&text), Ok(checkpoint()));
    let note = checkpoint().sign(&key(ORIGIN, 1)).unwrap();
    assert_eq!(Checkpoint::read_unverified(&note), Ok(checkpoint()));
}

#[test]
fn a_checkpoint_is_read_only_as_it_is_written() {
    let root = Hash::of_leaf(b"root").to_string();
    let cases = [
        (String::new(), CheckpointError::Form),
        (format!("log\n5\n{root}"), CheckpointError::Form),
        (format!("log\n{root}\n"), CheckpointError::Form),
        (
            format!("log\n5\n{root}\nmore\n"),
            CheckpointError::Extension,
        ),
        (format!("log\n5\n{root}\n\n"), CheckpointError::Extension),
        (format!("\n5\n{root}\n"), CheckpointError::Origin),
        (format!("log\n\n{root}\n"), CheckpointError::Size),
        (format!("log\n05\n{root}\n"), CheckpointError::Size),
        (format!("log\n+5\n{root}\n"), CheckpointError::Size),
        (format!("log\n-5\n{root}\n"), CheckpointError::Size),
        (format!("log\n5 \n{root}\n"), CheckpointError::Size),
        (format!("log\n5_0\n{root}\n"), CheckpointError::Size),
        (
            format!("log\n4611686018427387905\n{root}\n"),
            CheckpointError::Size,
        ),
        (
            format!("log\n18446744073709551616\n{root}\n"),
            CheckpointError::Size,
        ),
        (format!("log\n5\n{root}=\n"), CheckpointError::Root),
        (
            format!("log\n5\n{}\n", root.trim_end_matches('=')),
            CheckpointError::Root,
        ),
        (
            format!("log\n5\n{}9=\n", &root[..42]),
            CheckpointError::Root,
        ),
        ("log\n5\nAAAA\n".to_owned(), CheckpointError::Root),
    ];
    for (text, error) in cases {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
    for size in ["0", "4611686018427387904"] {
        let text = format!("log\n{size}\n{root}\n");
        assert_eq!(Checkpoint::parse(&text).unwrap().to_text(), text);
    }
}

#[test]
fn only_the_key_of_the_log_signs_and_vouches_for_it() {
    let (log, witness) = (key(ORIGIN, 1), key("witness", 2));
    let of_other_log = || CheckpointError::OtherLog {
        origin: ORIGIN.to_owned(),
        key: "witness".to_owned(),
    };
    assert_eq!(checkpoint().sign(&witness), Err(of_other_log()));

    let known = [witness.verifier(), log.verifier()];
    let note = checkpoint().sign(&log).unwrap();
    assert_eq!(Checkpoint::open(&note, &known), Ok(checkpoint()));
    let unknown = CheckpointError::Verify(NoteError::Unknown);
    assert_eq!(Checkpoint::open(&note, &known[..1]), Err(unknown.clone()));
    assert_eq!(Checkpoint::open(&note, &[]), Err(unknown.clone()));
    assert_eq!(
        Checkpoint::open(&note, &[key(ORIGIN, 3).verifier()]),
        Err(unknown)
    );

    let text = checkpoint().to_text();
    let by_witness = Note::sign(&text, &[&witness]).unwrap();
    assert_eq!(Checkpoint::open(&by_witness, &known), Err(of_other_log()));
    // Who else signed does not matter, nor in which order.
    let by_both = Note::sign(&text, &[&witness, &log]).unwrap();
    assert_eq!(Checkpoint::open(&by_both, &known), Ok(checkpoint()));
    let forged = by_witness.replace("20852163", "20852164");
    let wrong = CheckpointError::Verify(NoteError::Wrong("witness".to_owned()));
    assert_eq!(Checkpoint::open(&forged, &known), Err(wrong));
}

#[test]
fn what_does_not_read_back_is_not_signed() {
    let too_large = Checkpoint {
        size: tree::LARGEST + 1,
        ..checkpoint()
    };
    assert_eq!(too_large.sign(&key(ORIGIN, 1)), Err(CheckpointError::Size));
    let extended = Note::sign(
        &format!("{}more\n", checkpoint().to_text()),
        &[&key(ORIGIN, 1)],
    );
    let known = [key(ORIGIN, 1).verifier()];
    let opened = Checkpoint::open(&extended.unwrap(), &known);
    assert_eq!(opened, Err(CheckpointError::Extension));
    let no_note = CheckpointError::ReadNote(NoteError::Form);
    assert_eq!(
        Checkpoint::open(&checkpoint().to_text(), &known),
        Err(no_note.clone())
    );
    assert_eq!(Checkpoint::read_unverified("log\n5\n"), Err(no_note));
}

#[test]
fn no_bit_of_a_checkpoint_can_change() {
    let log = key(ORIGIN, 1);
    let known = [log.verifier()];
    let note = checkpoint().sign(&log).unwrap();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut forged = note.clone().into_bytes();
            forged[at] ^= 1 << bit;
            if let Ok(forged) = String::from_utf8(forged) {
                let opened = Checkpoint::open(&forged, &known);
                assert!(opened.is_err(), "bit {bit} of byte {at}: {forged:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn our_checkpoints_are_read_by_others_and_theirs_by_us(
        origin in "[^\\pC\\pZ+]{1,40}",
        size in 0..=tree::LARGEST,
        root in any::<[u8; 32]>(),
        seed in any::<[u8; 32]>(),
    ) {
        let checkpoint = Checkpoint { origin: origin.clone(), size, root: Hash(root) };
        let their = other::Checkpoint::from_bytes(checkpoint.to_text().as_bytes()).unwrap();
        let same = other::Checkpoint::new(&origin, size, theirs(Hash(root)), "").unwrap();
        prop_assert_eq!(&their, &same);

        let log = SigningKey::from_seed(&origin, &seed).unwrap();
        let signer = StandardSigner::new(&log.to_private_text()).unwrap();
        let mut note = OtherNote::new(&same.to_bytes(), &[]).unwrap();
        note.add_sigs(&[&signer]).unwrap();
        let note = String::from_utf8(note.to_bytes()).unwrap();
        prop_assert_eq!(checkpoint.sign(&log), Ok(note.clone()));
        prop_assert_eq!(Checkpoint::open(&note, &[log.verifier()]), Ok(checkpoint));
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn what_reads_as_a_checkpoint_prints_back_and_reads_elsewhere(text in nearly(checkpoint().to_text())) {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text(), text.clone());
            let their = other::Checkpoint::from_bytes(text.as_bytes()).unwrap();
            prop_assert_eq!(their.size(), checkpoint.size);
        }
    }
}
