//! Floor 0, tests: proofs to take away.

use std::sync::LazyLock;

use proptest::prelude::*;
use tlog_tiles as other;

use super::*;
use crate::domain::audit::{
    note::{NoteError, SigningKey},
    tests::{Grown, bodies, cases, nearly, ours},
};

const ORIGIN: &str = "neuralops.io/1f0c/7";

static LOG: LazyLock<Grown> = LazyLock::new(|| Grown::of(bodies(11)));

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap()
}

fn head(size: u64) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: LOG.root(size),
    }
}

fn proof(index: u64, size: u64) -> TlogProof {
    TlogProof {
        extra: None,
        index,
        hashes: LOG.inclusion(index, size),
        checkpoint: head(size).sign(&key()).unwrap(),
    }
}

#[test]
fn a_proof_reads_back_and_proves_its_leaf() {
    for (index, size) in [(0, 1), (4, 11), (10, 11), (7, 8)] {
        for extra in [None, Some(Vec::new()), Some(b"more".to_vec())] {
            let proof = TlogProof {
                extra,
                ..proof(index, size)
            };
            let read: TlogProof = proof.to_string().parse().unwrap();
            assert_eq!(read, proof);
            let known = [key().verifier()];
            assert_eq!(read.verify(LOG.leaf(index), &known), Ok(head(size)));
            // What others prove in a tree of ours is the same.
            let theirs = other::prove_record(size, index, &*LOG).unwrap();
            assert_eq!(read.hashes, ours(theirs));
        }
    }
}

#[test]
fn a_proof_is_the_text_that_the_format_describes() {
    let proof = TlogProof {
        extra: Some(b"more".to_vec()),
        ..proof(2, 7)
    };
    let [first, second, third] = proof.hashes[..] else {
        panic!("{proof:?}")
    };
    let note = head(7).sign(&key()).unwrap();
    let text = format!(
        "c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 2\n{first}\n{second}\n{third}\n\n{note}"
    );
    assert_eq!(proof.to_string(), text);
    // From the leaf's sibling up.
    assert_eq!(first, LOG.leaf(3));
}

#[test]
fn a_proof_proves_nothing_else() {
    let known = [key().verifier()];
    let right = proof(4, 11);
    let leaf = LOG.leaf(4);
    let inclusion = |error| Err(TlogProofError::Inclusion(error));
    assert_eq!(
        right.verify(LOG.leaf(5), &known),
        inclusion(ProofError::Root)
    );
    let other_index = TlogProof {
        index: 5,
        ..right.clone()
    };
    assert_eq!(
        other_index.verify(leaf, &known),
        inclusion(ProofError::Root)
    );
    let outside = TlogProof {
        index: 11,
        ..right.clone()
    };
    let error = ProofError::Leaf {
        index: 11,
        size: 11,
    };
    assert_eq!(outside.verify(leaf, &known), inclusion(error));
    let absurd = TlogProof {
        index: u64::MAX,
        ..right.clone()
    };
    let error = ProofError::Leaf {
        index: u64::MAX,
        size: 11,
    };
    assert_eq!(absurd.verify(leaf, &known), inclusion(error));
    let mut longer = right.clone();
    longer.hashes.push(Hash::of_nothing());
    let error = ProofError::Length { hashes: 5 };
    assert_eq!(longer.verify(leaf, &known), inclusion(error));

    let refused = |error| {
        Err(TlogProofError::VerifyCheckpoint(CheckpointError::Verify(
            error,
        )))
    };
    assert_eq!(right.verify(leaf, &[]), refused(NoteError::Unknown));
    let stranger = SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap().verifier();
    assert_eq!(right.verify(leaf, &[stranger]), refused(NoteError::Unknown));
    let mut forged = right;
    forged.checkpoint = forged.checkpoint.replace("\n11\n", "\n12\n");
    assert_eq!(
        forged.verify(leaf, &known),
        refused(NoteError::Wrong(ORIGIN.to_owned()))
    );
}

#[test]
fn no_bit_of_a_proof_can_change() {
    let known = [key().verifier()];
    let (right, leaf) = (proof(4, 11), LOG.leaf(4));
    let text = right.to_string();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut forged = text.clone().into_bytes();
            forged[at] ^= 1 << bit;
            let Ok(forged) = String::from_utf8(forged) else {
                continue;
            };
            let verified = forged
                .parse::<TlogProof>()
                .map(|proof| proof.verify(leaf, &known).is_ok());
            assert_ne!(verified, Ok(true), "bit {bit} of byte {at}: {forged:?}");
        }
    }
}

/// The parts between the header and the checkpoint.
fn with(lines: &str) -> String {
    let checkpoint = head(11).sign(&key()).unwrap();
    format!("{HEADER}\n{lines}\n{checkpoint}")
}

#[test]
fn a_proof_is_read_only_as_it_is_written() {
    let cases = [
        (String::new(), TlogProofError::Header),
        (HEADER.to_owned(), TlogProofError::Header),
        (
            with("index 4\n").replace("@v1", "@v2"),
            TlogProofError::Header,
        ),
        (
            with("index 4\n").replace('\n', "\r\n"),
            TlogProofError::Header,
        ),
        (format!("{HEADER}\nindex 4"), TlogProofError::Index),
        (format!("{HEADER}\nextra bW9yZQ=="), TlogProofError::Extra),
        (with("extra bW9yZQ\nindex 4\n"), TlogProofError::Extra),
        (with("extra bW9yZR==\nindex 4\n"), TlogProofError::Extra),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<TlogProof>(), Err(error), "{text:?}");
    }
    for lines in [
        "",
        "index \n",
        "index 04\n",
        "index +4\n",
        "index 4 \n",
        "index  4\n",
        "Index 4\n",
        "index 18446744073709551616\n",
        "extra\nindex 4\n",
        "extra bW9yZQ==\n",
        "extra bW9yZQ==\nextra bW9yZQ==\nindex 4\n",
    ] {
        let parsed = with(lines).parse::<TlogProof>();
        assert_eq!(parsed, Err(TlogProofError::Index), "{lines:?}");
    }
}

#[test]
fn the_hashes_and_the_checkpoint_of_a_proof_are_read_only_as_they_are_written() {
    let hash = LOG.leaf(0);
    let start = format!("{HEADER}\nindex 4\n");
    let note = |error| TlogProofError::ReadCheckpoint(CheckpointError::ReadNote(error));
    let extended = TlogProofError::ReadCheckpoint(CheckpointError::Extension);
    let cases = [
        (with("index 4\nextra bW9yZQ==\n"), TlogProofError::Hash(1)),
        (
            with(&format!("index 4\n{hash} \n")),
            TlogProofError::Hash(1),
        ),
        (
            with(&format!("index 4\n{hash}\n{hash}=\n")),
            TlogProofError::Hash(2),
        ),
        (start.clone(), TlogProofError::Form),
        (format!("{start}{hash}\n"), TlogProofError::Form),
        (format!("{start}{hash}"), TlogProofError::Form),
        (format!("{start}\n"), note(NoteError::Form)),
        (
            format!("{start}\n{}", head(11).to_text()),
            note(NoteError::Form),
        ),
        (with("index 4\n\n"), extended),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<TlogProof>(), Err(error), "{text:?}");
    }
}

#[test]
fn a_proof_has_at_most_64_hashes_and_64_kib() {
    let hashes = |count| format!("index 4\n{}", format!("{}\n", LOG.leaf(0)).repeat(count));
    let most: TlogProof = with(&hashes(64)).parse().unwrap();
    assert_eq!(most.hashes.len(), 64);
    let more = with(&hashes(65)).parse::<TlogProof>();
    assert_eq!(more, Err(TlogProofError::TooLong));

    let with_extra = |length| TlogProof {
        extra: Some(vec![0; length]),
        ..proof(4, 11)
    };
    // Three bytes are four in base64, and up to three do not fill the rest.
    let fits = (LARGEST - with_extra(0).to_string().len()) / 4 * 3;
    let large = with_extra(fits);
    assert_eq!(large.to_string().parse(), Ok(large));
    let text = with_extra(fits + 3).to_string();
    let parsed = text.parse::<TlogProof>();
    assert_eq!(parsed, Err(TlogProofError::TooLarge(text.len())));
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn what_reads_as_a_proof_prints_back(
        text in nearly(TlogProof { extra: Some(b"more".to_vec()), ..proof(4, 11) }.to_string()),
    ) {
        if let Ok(proof) = text.parse::<TlogProof>() {
            prop_assert_eq!(proof.to_string(), text);
        }
    }
}
