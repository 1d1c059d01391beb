//! What only a file can suffer: it belongs to somebody else, or its disk fails.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use neuralops::{adapters::store::Mode, ports::StoreError};
use tempfile::TempDir;

use crate::{
    entries::{ORIGIN, entries, lead, tree_of},
    place::{Place, environment},
};

/// What opening the file says, in both modes.
async fn refusals(place: &Place) -> Vec<StoreError> {
    let mut refusals = Vec::new();
    for mode in [Mode::Operator, Mode::Reader] {
        refusals.push(place.try_open(mode).await.err().unwrap());
    }
    refusals
}

fn beside(place: &Place) -> Vec<PathBuf> {
    let folder = place.file().parent().unwrap().read_dir().unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let place = Place::sqlite();
    drop(fs::File::create(place.file()).unwrap());
    place
        .alter("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .await;
    let before = fs::read(place.file()).unwrap();
    for refused in refusals(&place).await {
        assert!(
            matches!(&refused, StoreError::Unusable(what) if what.contains("another program")),
            "{refused:?}"
        );
    }
    assert_eq!(fs::read(place.file()).unwrap(), before);
    assert_eq!(beside(&place), [place.file()]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let place = Place::sqlite();
    let text = "not a database\n".repeat(1000);
    fs::write(place.file(), &text).unwrap();
    for refused in refusals(&place).await {
        assert!(
            matches!(&refused, StoreError::Damaged(what) if what.contains("not a database")),
            "{refused:?}"
        );
    }
    assert_eq!(fs::read_to_string(place.file()).unwrap(), text);
    assert_eq!(beside(&place), [place.file()]);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store_only_for_the_operator() {
    let place = Place::sqlite();
    fs::write(place.file(), "").unwrap();
    let refused = place.try_open(Mode::Reader).await.err().unwrap();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    assert_eq!(fs::read(place.file()).unwrap(), b"");
    lead(&*place.open().await).await;
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let place = Place::sqlite();
    lead(&*place.open().await).await;
    for file in beside(&place) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn damaged_pages_are_found() {
    let place = Place::sqlite();
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    store.append(epoch, entries(0..2000)).await.unwrap();
    store.reopen().await.unwrap();
    drop(store);
    let mut bytes = fs::read(place.file()).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x55);
    fs::write(place.file(), bytes).unwrap();
    let findings = match place.try_open(Mode::Reader).await {
        Ok(reader) => reader.check().await,
        Err(error) => Err(error),
    };
    assert!(
        matches!(&findings, Ok(found) if !found.is_empty())
            || matches!(&findings, Err(StoreError::Damaged(_))),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let url = "sqlite:///nowhere/at/all/audit.db".parse().unwrap();
    let refused = neuralops::adapters::store::open(&url, Mode::Operator).await;
    let refused = refused.err().unwrap();
    assert!(
        matches!(refused, StoreError::Unavailable { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn texts_that_expired_are_overwritten() {
    let place = Place::sqlite();
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut batch = entries(0..1);
    batch[0].payload = Some((
        crate::entries::text("the secret of the day"),
        jiff::Timestamp::MIN,
    ));
    store.append(epoch, batch).await.unwrap();
    let holds = |bytes: Vec<u8>| {
        bytes
            .windows(21)
            .any(|part| part == b"the secret of the day")
    };
    store.reopen().await.unwrap();
    assert!(holds(fs::read(place.file()).unwrap()));
    store
        .expire_payloads(epoch, jiff::Timestamp::MAX)
        .await
        .unwrap();
    store.reopen().await.unwrap();
    for file in beside(&place) {
        assert!(!holds(fs::read(&file).unwrap()), "{}", file.display());
    }
}

/// The library that makes fsync fail; compiled here, because it is for this machine.
fn failing_sync(folder: &TempDir) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/failing_sync.c");
    let library = folder.path().join("failing_sync.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status()
        .unwrap();
    assert!(compiled.success());
    library
}

const FOLDER: &str = "NEURALOPS_TEST_STORE_FOLDER";

/// The test is its own second process, in which the disk fails.
#[tokio::test]
async fn a_failed_fsync_ends_writing_until_the_file_was_written_again() {
    if let Some(folder) = environment(FOLDER) {
        return on_a_failing_disk(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    let place = Place::Sqlite { dir: folder };
    let Place::Sqlite { dir } = &place else {
        unreachable!()
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("sqlite_file::a_failed_fsync_ends_writing_until_the_file_was_written_again")
        .env(FOLDER, dir.path())
        .env("LD_PRELOAD", failing_sync(dir))
        .env("FAILING_SYNC", dir.path().join("fails"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{output:?}"
    );

    // The other process is gone; what it was told is there.
    let reader = place.try_open(Mode::Reader).await.unwrap();
    let logs = reader.logs().await.unwrap();
    assert_eq!((logs[0].size, logs[0].root), (6, tree_of(0..6).0.root()));
}

async fn on_a_failing_disk(folder: &Path) {
    let file = folder.join("audit.db");
    let url = format!("sqlite://{}", file.display()).parse().unwrap();
    let open = async |mode| neuralops::adapters::store::open(&url, mode).await;
    let unavailable = |answer: Result<(), StoreError>| {
        assert!(
            matches!(answer, Err(StoreError::Unavailable { .. })),
            "{answer:?}"
        );
    };
    let store = open(Mode::Operator).await.unwrap();
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();

    fs::write(folder.join("fails"), "").unwrap();
    unavailable(store.append(epoch, entries(3..5)).await.map(drop));
    // Whoever begins on this disk finds out at once, and whoever only reads need not.
    unavailable(store.reopen().await);
    unavailable(open(Mode::Operator).await.map(drop));
    assert_eq!(
        open(Mode::Reader).await.unwrap().epoch().await.unwrap(),
        epoch
    );
    assert_eq!(store.leaves(log, 0, 3).await.unwrap().len(), 3);
    fs::remove_file(folder.join("fails")).unwrap();

    // The disk works again, but what the kernel holds of the file is in doubt until it was written once more.
    unavailable(store.append(epoch, entries(3..5)).await.map(drop));
    store.reopen().await.unwrap();
    assert_eq!(fs::metadata(folder.join("audit.db-wal")).unwrap().len(), 0);
    let grown = store.append(epoch, entries(1..6)).await.unwrap();
    assert_eq!(grown.log.origin, ORIGIN);
    assert_eq!(grown.log.size, 6);
}
