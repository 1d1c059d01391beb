//! What only a server can do to its clients: refuse them, keep them waiting, not be there.

use std::net::TcpListener;

use neuralops::{
    adapters::store::{Mode, open},
    ports::StoreError,
};

use crate::{
    entries::{entries, lead},
    on_server,
    place::{Place, environment, of_server},
};

async fn refusal(url: &str) -> StoreError {
    open(&url.parse().unwrap(), Mode::Operator)
        .await
        .err()
        .unwrap()
}

/// The server's URL with another account.
fn as_other(place: &Place, account: &str) -> String {
    let Place::Postgres { server, database } = place else {
        panic!("not on a server")
    };
    let (_, host) = server.rsplit_once('@').unwrap();
    of_server(&format!("postgres://{account}@{host}"), database)
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let place = on_server!();
    let refused = refusal(&as_other(&place, &format!("neuralops:{}", "opensesame"))).await;
    let shown = format!("{refused} {refused:?}");
    assert!(matches!(refused, StoreError::Unusable(_)), "{shown}");
    assert!(shown.contains("password authentication failed"), "{shown}");
    assert!(!shown.contains("opensesame"), "{shown}");
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let place = on_server!();
    let Place::Postgres { server, .. } = &place else {
        panic!("not on a server")
    };
    let refused = refusal(&of_server(server, "nobody_made_it")).await;
    assert!(
        matches!(&refused, StoreError::Unusable(what) if what.contains("nobody_made_it")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_answer_is_not_waited_for_long() {
    // Bound and not listening to us: the kernel takes the connection, and nobody ever says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let refused = refusal(&format!("postgres://u@127.0.0.1:{port}/d")).await;
    assert!(
        matches!(refused, StoreError::Unavailable { .. }),
        "{refused:?}"
    );
    drop(silent);
    let refused = refusal(&format!("postgres://u@127.0.0.1:{port}/d")).await;
    let StoreError::Unavailable { source, .. } = refused else {
        panic!("{refused:?}")
    };
    assert!(source.to_string().contains("refused"), "{source}");
}

#[tokio::test]
async fn a_write_that_is_kept_waiting_is_given_up() {
    let place = on_server!();
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut other = place.tamperer().await;
    other
        .run("BEGIN; SELECT epoch FROM writer FOR UPDATE")
        .await;
    let refused = store.append(epoch, entries(0..1)).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Unavailable { .. }),
        "{refused:?}"
    );
    other.run("ROLLBACK").await;
    store.reopen().await.unwrap();
    store.append(epoch, entries(0..1)).await.unwrap();
}

#[tokio::test]
async fn replicas_that_start_together_make_the_tables_once() {
    let place = on_server!();
    let (one, two, three) = tokio::join!(place.open(), place.open(), place.open());
    let (epoch, _) = lead(&*one).await;
    let later = two.take_over().await.unwrap();
    assert!(later > epoch);
    assert_eq!(three.epoch().await.unwrap(), later);
    let elsewhere = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(place.number(elsewhere).await, 0);
}

#[tokio::test]
async fn an_account_that_may_only_read_reads_and_asks() {
    let place = on_server!();
    let store = place.open().await;
    let (epoch, log) = lead(&*store).await;
    store.append(epoch, entries(0..3)).await.unwrap();
    // Accounts belong to the whole server, and each test has a database of its own.
    place
        .alter(
            "DO $$ BEGIN
                 EXECUTE format('CREATE ROLE %I LOGIN', current_database());
                 EXECUTE format('GRANT USAGE ON SCHEMA neuralops TO %I', current_database());
                 EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA neuralops TO %I', current_database());
                 EXECUTE format('GRANT INSERT ON neuralops.request TO %I', current_database());
                 EXECUTE format('ALTER ROLE %I PASSWORD %L', current_database(), 'for ' || current_database());
             END $$",
        )
        .await;
    let Place::Postgres { database, .. } = &place else {
        panic!("not on a server")
    };
    let url = as_other(&place, &format!("{database}:for%20{database}"));
    let reader = open(&url.parse().unwrap(), Mode::Reader).await.unwrap();
    assert_eq!(reader.leaves(log, 0, 10).await.unwrap().len(), 3);
    assert_eq!(reader.check().await.unwrap(), Vec::<String>::new());
    reader.ask(vec![1]).await.unwrap();
    assert_eq!(store.requests(10).await.unwrap().len(), 1);
    // To write takes more.
    let other = open(&url.parse().unwrap(), Mode::Operator).await.unwrap();
    let refused = other.take_over().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
}

#[tokio::test]
async fn a_socket_is_a_way_to_the_server() {
    let place = on_server!();
    let Some(socket) = environment("NEURALOPS_TEST_POSTGRES_SOCKET") else {
        fn here() {}
        let here = std::any::type_name_of_val(&here);
        return crate::skipping::skipped(here, "no socket is named, only a server");
    };
    let Place::Postgres { database, .. } = &place else {
        panic!("not on a server")
    };
    let url = of_server(&socket, database).parse().unwrap();
    let store = open(&url, Mode::Operator).await.unwrap();
    let (epoch, _) = lead(&*store).await;
    store.append(epoch, entries(0..1)).await.unwrap();
}

/// Planned while the tables are small, where reading all of them is quickest, and kept when they are large.
#[tokio::test]
async fn what_was_written_before_is_looked_for_by_an_index_however_long_the_connection_lives() {
    let place = on_server!();
    let store = place.open().await;
    let (epoch, _) = lead(&*store).await;
    let mut number = 0;
    let mut append = async |count: u64| {
        let batch = entries(number..number + count);
        store.append(epoch, batch).await.unwrap();
        number += count;
    };
    for _ in 0..20 {
        append(1).await;
    }
    for _ in 0..20 {
        append(256).await;
    }
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'leaf'";
    let found =
        "SELECT COALESCE(idx_scan, 0) FROM pg_stat_user_indexes WHERE indexrelname = 'leaf_id'";
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // The server counts a little later, and only while somebody goes on.
    while place.number(found).await < 1000 {
        let scans = place.number(scans).await;
        assert!(
            std::time::Instant::now() < until,
            "whole tables are read: {scans} times"
        );
        append(32).await;
    }
}
