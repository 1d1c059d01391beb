use super::*;
use crate::domain::audit::{
    note::SigningKey,
    tree::tests::{Grown, bodies},
};

#[test]
fn a_proof_reads_back_and_proves_its_leaf() {
    let key = SigningKey::from_seed("log.example/1", &[7; 32]).unwrap();
    let grown = Grown::of(bodies(11));
    let checkpoint = Checkpoint {
        origin: "log.example/1".to_owned(),
        size: 11,
        root: grown.root(11),
    };
    let proof = TlogProof {
        extra: Some(b"more".to_vec()),
        index: 4,
        hashes: grown.cook(&tree::inclusion(4, 11).unwrap()),
        checkpoint: checkpoint.sign(&key).unwrap(),
    };
    let read: TlogProof = proof.to_string().parse().unwrap();
    assert_eq!(read, proof);
    assert_eq!(
        read.verify(grown.leaf(4), &[key.verifier()]),
        Ok(checkpoint)
    );
}
