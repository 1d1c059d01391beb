use super::*;
use crate::domain::audit::{
    event::Event,
    record::{Actor, Method, RecordId},
};

fn late(number: u32) -> Late {
    let actor = Actor {
        method: Method::Operator,
        subject: "neuralops-0".into(),
        issuer: None,
        uid: None,
        groups: None,
        credential: None,
    };
    let id = RecordId::of(&[&number.to_string()]);
    Late {
        happened: Timestamp::from_second(i64::from(number)).unwrap(),
        draft: Draft {
            fact: Fact::new(id, Event::LeaderReleased, actor),
            details: Some("why".into()),
            notice: None,
        },
    }
}

async fn filled(directory: &Path, count: u32) -> Arc<Spool> {
    let spool = Spool::new(directory);
    spool.unlock(&[7; 32]);
    for number in 0..count {
        spool.keep(late(number)).await.unwrap();
    }
    spool
}

#[tokio::test]
async fn what_is_kept_is_read_back_in_order_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 3).await;
    let next = filled(directory.path(), 0).await;
    let found = next.read().await.unwrap();
    let ids: Vec<_> = found.iter().map(|late| late.draft.fact.id).collect();
    assert_eq!(ids, [0, 1, 2].map(|n| late(n).draft.fact.id));
    assert_eq!(found[2].happened, late(2).happened);
    assert_eq!(found[2].draft.details.as_deref(), Some("why"));
    assert!(next.clear(3).unwrap());
    assert!(next.read().await.unwrap().is_empty());
    assert!(next.clear(0).unwrap());
}

#[tokio::test]
async fn a_stop_that_came_after_the_reading_stays() {
    let directory = tempfile::tempdir().unwrap();
    let spool = filled(directory.path(), 2).await;
    let read = spool.read().await.unwrap().len();
    spool.keep(late(2)).await.unwrap();
    assert!(!spool.clear(read).unwrap());
    assert_eq!(spool.read().await.unwrap().len(), 3);
}

#[tokio::test]
async fn every_altered_byte_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let spool = filled(directory.path(), 2).await;
    let bytes = fs::read(&spool.file).unwrap();
    let first = entries(&bytes).next().unwrap().end;
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        fs::write(&spool.file, &altered).unwrap();
        match spool.read().await {
            Err(SpoolError::Altered { .. }) => {}
            // A length that points beyond the end looks like a cut-off entry, which was never acknowledged.
            Ok(found) => assert!(
                found.len() < 2 && (at < 4 || (first..first + 4).contains(&at)),
                "byte {at}"
            ),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

#[tokio::test]
async fn entries_cannot_be_reordered_repeated_or_sealed_with_another_key() {
    let directory = tempfile::tempdir().unwrap();
    let spool = filled(directory.path(), 2).await;
    let bytes = fs::read(&spool.file).unwrap();
    let first = entries(&bytes).next().unwrap().end;
    for forged in [
        [&bytes[first..], &bytes[..first]].concat(),
        [&bytes[..], &bytes[first..]].concat(),
        bytes[first..].to_vec(),
    ] {
        fs::write(&spool.file, &forged).unwrap();
        assert!(matches!(
            spool.read().await,
            Err(SpoolError::Altered { .. })
        ));
    }
    fs::write(&spool.file, &bytes).unwrap();
    spool.unlock(&[8; 32]);
    let Err(SpoolError::Altered { entry, .. }) = spool.read().await else {
        panic!("another key opened it")
    };
    assert_eq!(entry, 1);
    let aside = spool.put_aside(Timestamp::from_second(5).unwrap()).unwrap();
    assert_eq!(fs::read(aside).unwrap(), bytes);
    assert!(spool.read().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_that_a_crash_cut_off_is_left_out_and_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let spool = filled(directory.path(), 2).await;
    let bytes = fs::read(&spool.file).unwrap();
    for cut in [1, 20, 40] {
        fs::write(&spool.file, &bytes[..bytes.len() - cut]).unwrap();
        assert_eq!(spool.read().await.unwrap().len(), 1);
    }
    spool.keep(late(9)).await.unwrap();
    let found = spool.read().await.unwrap();
    assert_eq!(found[1].draft.fact.id, late(9).draft.fact.id);
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn it_is_bounded_and_does_nothing_without_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let locked = Spool::new(directory.path());
    assert!(matches!(locked.keep(late(1)).await, Err(SpoolError::NoKey)));
    let spool = filled(directory.path(), 0).await;
    let mut large = late(1);
    large.draft.details = Some("x".repeat(3 << 20));
    spool.keep(large).await.unwrap();
    let mut more = late(2);
    more.draft.details = Some("x".repeat(2 << 20));
    assert!(matches!(
        spool.keep(more).await,
        Err(SpoolError::Full { .. })
    ));
    assert_eq!(spool.read().await.unwrap().len(), 1);
}
