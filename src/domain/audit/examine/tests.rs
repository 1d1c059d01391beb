use super::*;
use crate::domain::audit::{
    event::Event,
    record::{Actor, Fact, Method, RecordId, VERSION},
};

fn body(number: u64) -> Vec<u8> {
    let actor = Actor {
        credential: None,
        groups: None,
        issuer: None,
        method: Method::Operator,
        subject: "neuralops-0".into(),
        uid: None,
    };
    let record = Record {
        v: VERSION,
        time: jiff::Timestamp::from_second(1_700_000_000).unwrap(),
        epoch: 1,
        late: None,
        fact: Fact::new(
            RecordId::of(&[&number.to_string()]),
            Event::LeaderElected,
            actor,
        ),
    };
    record.to_bytes().unwrap()
}

/// A log with its stored hashes by level and number, as a test alters it before it is examined.
struct Log {
    bodies: Vec<Vec<u8>>,
    hashes: Vec<((u32, u64), Hash)>,
    claims: Vec<Claim>,
}

fn grow(bodies: Vec<Vec<u8>>) -> Log {
    let mut tree = Frontier::empty();
    let mut hashes = Vec::new();
    for (leaf, body) in (0..).zip(&bodies) {
        let mut level = 0;
        tree.push(Hash::of_leaf(body), |_, hash| {
            hashes.push(((level, leaf >> level), hash));
            level += 1;
        });
    }
    let claims = vec![Claim {
        by: Claimant::Checkpoint,
        size: tree.size(),
        root: tree.root(),
    }];
    Log {
        bodies,
        hashes,
        claims,
    }
}

fn sound() -> Log {
    grow((0..20).map(body).collect())
}

impl Log {
    fn set(&mut self, level: u32, n: u64, hash: Hash) {
        let place = self.hashes.iter_mut().find(|(at, _)| *at == (level, n));
        place.unwrap().1 = hash;
    }

    fn pass(&self, ids: &mut Ids) -> Result<Examined, Finding> {
        let mut examiner = Examiner::new(Medium::Store { log: 1 }, self.claims.clone());
        for body in &self.bodies {
            examiner.leaf(ids, body, |level, n| {
                let found = self.hashes.iter().find(|(at, _)| *at == (level, n));
                found.map(|(_, hash)| *hash)
            });
        }
        examiner.finish()
    }

    fn examine(&self) -> Result<Examined, Finding> {
        let mut ids = Ids::default();
        let examined = self.pass(&mut ids)?;
        match ids.again() {
            Some(mut again) => self.pass(&mut again),
            None => Ok(examined),
        }
    }

    #[track_caller]
    fn is_refused(&self, says: &str) {
        let finding = self.examine().unwrap_err().to_string();
        assert!(finding.starts_with(says), "{finding}");
    }
}

#[test]
fn a_sound_log_of_any_size_is_what_it_claims() {
    for size in [0, 1, 2, 3, 255, 256, 257, 600] {
        let log = grow((0..size).map(body).collect());
        let examined = log.examine().unwrap();
        assert_eq!(examined.size, size);
        assert_eq!(examined.root, log.claims[0].root);
    }
}

#[test]
fn what_was_done_to_an_entry_is_told_apart() {
    let mut log = sound();
    log.bodies[17] = body(99);
    log.is_refused("leaf 17 (log 1): the entry was altered");

    let mut log = sound();
    log.bodies.swap(5, 11);
    log.is_refused("leaf 5 (log 1): the entry of leaf 11 stands here: leaves were swapped");

    let mut log = sound();
    log.bodies[6] = body(99);
    log.set(0, 6, Hash::of_leaf(&body(99)));
    log.is_refused(
        "leaves 6 to 7 (log 1, level 1): entries were altered and their hashes with them",
    );
}

#[test]
fn what_was_done_to_a_hash_is_told_apart() {
    let other = Hash::of_leaf(b"other");
    let mut log = sound();
    log.set(0, 3, other);
    log.is_refused("leaf 3 (log 1, level 0): the hash was altered");

    let mut log = sound();
    log.set(2, 1, other);
    log.is_refused("leaves 4 to 7 (log 1, level 2): the hash was altered");

    let mut log = sound();
    log.bodies[3] = body(99);
    log.set(0, 3, other);
    log.is_refused("leaf 3 (log 1): entry and hash contradict each other");
}

#[test]
fn a_log_that_was_rewritten_as_a_whole_does_not_have_the_signed_root() {
    let mut bodies = sound().bodies;
    bodies[3] = body(99);
    let mut log = grow(bodies);
    log.claims = sound().claims;
    log.is_refused("the checkpoint says that 20 leaves have the root");

    // What was said of it earlier and is right narrows it down.
    let early = grow(sound().bodies[..2].to_vec()).claims[0].clone();
    log.claims.push(Claim {
        by: Claimant::Saved,
        ..early
    });
    let finding = log.examine().unwrap_err().to_string();
    assert!(finding.contains("leaves 2 to 19 were altered"), "{finding}");
}

#[test]
fn a_log_that_lost_its_end_is_truncated() {
    let mut log = sound();
    log.bodies.truncate(18);
    log.is_refused(
        "leaf 18 (log 1): missing, and the checkpoint covers 20 leaves: the log was truncated",
    );
}

#[test]
fn each_claimant_is_named() {
    let cases = [
        (Claimant::Head, "the head was altered"),
        (Claimant::Manifest, "the manifest was altered"),
        (Claimant::Kept("c".into()), "the log was rewritten"),
        (Claimant::Anchor("a".into()), "the log was rewritten"),
        (Claimant::Saved, "or it is not of this log"),
        (Claimant::Follower("f".into()), "or it is not of this log"),
    ];
    for (by, says) in cases {
        for size in [0, 7, 20] {
            let mut log = sound();
            let root = Hash::of_leaf(b"other");
            log.claims.push(Claim {
                by: by.clone(),
                size,
                root,
            });
            let finding = log.examine().unwrap_err().to_string();
            assert!(
                finding.contains(says) && finding.contains(&by.to_string()),
                "{finding}"
            );
        }
    }
}

#[test]
fn an_id_that_stands_there_twice_is_found_though_all_is_signed() {
    let mut bodies = sound().bodies;
    bodies[12] = bodies[4].clone();
    let log = grow(bodies);
    log.is_refused("leaf 12 (log 1): the id ");
    let finding = log.examine().unwrap_err().to_string();
    assert!(finding.ends_with("first as leaf 4 (log 1)"), "{finding}");
}

#[test]
fn ids_that_only_begin_alike_are_two() {
    let mut ids = Ids::default();
    let (mut one, mut other) = ([7; 32], [7; 32]);
    (one[31], other[31]) = (1, 2);
    let place = || "p".to_owned();
    for id in [one, other] {
        assert_eq!(ids.take(RecordId(id), place, 0), None);
    }
    let mut again = ids.again().unwrap();
    for id in [one, other] {
        assert_eq!(again.take(RecordId(id), place, 0), None);
    }
    assert!(again.take(RecordId(one), place, 1).is_some());
}

#[test]
fn an_entry_that_is_no_record_is_refused_though_it_is_signed() {
    let mut bodies = sound().bodies;
    bodies[9] = b"{}".to_vec();
    grow(bodies).is_refused("leaf 9 (log 1): the entry is no record");
}

#[test]
fn the_first_thing_that_was_found_is_named() {
    let mut log = sound();
    log.bodies[17] = body(99);
    log.bodies[4] = body(98);
    log.is_refused("leaf 4 (log 1): the entry was altered");
}

#[test]
fn places_are_the_files_that_hold_them() {
    let medium = Medium::Files {
        below: "previous/1/".into(),
        size: 70_000,
    };
    assert_eq!(medium.entry(17), "previous/1/tile/entries/000");
    assert_eq!(medium.entry(69_999), "previous/1/tile/entries/273.p/112");
    assert_eq!(medium.hash(0, 300), "previous/1/tile/0/001");
    assert_eq!(medium.hash(8, 272), "previous/1/tile/1/001.p/17");
    assert_eq!(medium.hash(16, 0), "previous/1/tile/2/000.p/1");
}
